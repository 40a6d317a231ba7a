"""Prompt Retrieval: are the examples that a model retrieves good ones to show to a language model?

Examples and test items are embedded and mean-centered separately; the most similar examples that fit into the prompt
are shown, the most similar last; the answers of a language model are scored with Rouge-L (paper, section on prompt
retrieval). Without a language model the score is how often the nearest example has the item's answer.
"""

from instructor_embedding.evaluation.prompt_retrieval.run import evaluate as evaluate
