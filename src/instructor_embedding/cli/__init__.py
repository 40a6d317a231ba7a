"""The command ``instructor-embed``: one module per verb."""
