"""Smaller models and smaller vectors: weights in 8 and 4 bits, vectors in 8 bits and 1, and what they cost."""
