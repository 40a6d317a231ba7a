"""Training data: sources to [instruction, text] triples."""
