"""One batch: ids in, vectors out."""
