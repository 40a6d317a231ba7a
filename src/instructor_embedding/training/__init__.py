"""Training: triples and teachers' vectors to a model."""
