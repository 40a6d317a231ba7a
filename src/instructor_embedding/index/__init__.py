"""Search: an index that knows which instruction and which model made its vectors."""
