"""The server's routes, one noun per module."""
