"""The command ``instructor-embed``: one file a verb."""
