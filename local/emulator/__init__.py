"""What is changed in the emulator, so that it behaves as AWS documents it. Runs in .venv-emulator."""
