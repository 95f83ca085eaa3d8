"""What predictions and histories say: metrics, dynamics, statistics."""
