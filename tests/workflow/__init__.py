"""The workflow and the emulator, run for real on this machine."""
