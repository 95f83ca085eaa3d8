"""What every method is made of: losses, bank, carry, stream, checks. Loads torch and numpy only."""
