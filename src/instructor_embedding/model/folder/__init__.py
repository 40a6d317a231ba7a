"""A model as a folder of files: reading and writing."""
