"""AWS on this machine: an emulator, this very stack deployed to it, and images to push."""
