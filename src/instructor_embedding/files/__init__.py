"""Data files: rows in, rows and vectors out, in every format that the package knows."""
