"""What the engine knows of the machine: its devices, their memory, and how much fits into it."""
