"""One run: its settings, its device, its networks, its loop."""
