"""What the notebooks share: exercises, their judge, the two stored runs."""
