"""What things cost on this machine, side by side."""
