"""Evaluation: MTEB, Billboard, Prompt Retrieval and robustness, each score with what made it."""
