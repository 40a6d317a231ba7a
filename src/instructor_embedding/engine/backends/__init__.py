"""What runs packed batches: one backend per file."""
