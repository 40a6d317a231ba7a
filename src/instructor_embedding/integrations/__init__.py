"""Frameworks: one thin module per library, each importing it when the module is imported."""
