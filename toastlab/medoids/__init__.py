"""Stage 1: class medoids and the soft targets made of them. Loads torch and numpy only."""
