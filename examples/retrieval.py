"""Retrieval: questions and documents have their own instructions, and ranks are fused with those of BM25.

A small model misses rare words that BM25 sees, and BM25 misses paraphrases: fused ranks see both.

    python examples/retrieval.py [MODEL]
"""

import math
import re
import sys
from collections import Counter

import numpy as np

from instructor_embedding import INSTRUCTOR
from instructor_embedding.index.fusion import fused_scores
from instructor_embedding.vectors import cosines

QUESTION = "Represent the Wikipedia question for retrieving supporting documents: "
DOCUMENT = "Represent the Wikipedia document for retrieval: "
CORPUS = [
    "The common ostrich is the largest living bird. Its eggs are the largest of any living bird, about 15 cm long.",
    "Market economies with some public ownership are called mixed economies; most of today's are of this kind.",
    "A disparate impact is found where a rule that sounds neutral treats one group of employees worse than others.",
    "Large birds of the open plains rely on speed, not on flight, to escape from predators.",
]


def bm25(query: str, documents: list[str], k1: float = 1.5, b: float = 0.75) -> np.ndarray:
    """Return the BM25 score of each document; take the library bm25s for more than some thousand documents."""
    words = [Counter(re.findall(r"\w+", text.lower())) for text in documents]
    lengths = np.array([sum(own.values()) for own in words])
    scores = np.zeros(len(documents))
    for word in set(re.findall(r"\w+", query.lower())):
        counts = np.array([own[word] for own in words])
        present = int((counts > 0).sum())
        weight = math.log(1 + (len(documents) - present + 0.5) / (present + 0.5))
        scores += weight * counts * (k1 + 1) / (counts + k1 * (1 - b + b * lengths / lengths.mean()))
    return scores


model = INSTRUCTOR(sys.argv[1] if len(sys.argv) > 1 else "instructor-mini")
documents = model.encode(CORPUS, instruction=DOCUMENT)
for question in ("which bird lays the largest eggs?", "what do economists call partly state-owned economies?"):
    by_meaning = cosines(model.encode([question], instruction=QUESTION), documents)[0]
    by_words = bm25(question, CORPUS)
    fused = fused_scores(np.argsort(-scores, kind="stable").tolist() for scores in (by_meaning, by_words))
    best = max(fused, key=fused.get)
    print(f"{question}\n  {best} {CORPUS[best]}")
