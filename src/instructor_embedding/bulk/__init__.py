"""Corpora of any size: files, folders and URLs to shards of vectors, resumed after any stop, on one machine or many."""
