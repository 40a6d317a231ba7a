"""Collections of texts as groups and as pictures."""
