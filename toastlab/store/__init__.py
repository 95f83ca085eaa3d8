"""Finished runs on disk, found again by their settings."""
