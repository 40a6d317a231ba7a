"""Recipes: models made from their sources."""
