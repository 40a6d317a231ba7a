"""Many ways to say the same instruction, so that a model minds what it says and not how it is punctuated."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from instructor_embedding.medi.triple import Triple

_ARTICLES = ("the ", "the ", "the ", "a ", "")
_ENDINGS = (": ", ": ", ": ", "; ", ", ", " : ", "; Input: ")
_FOR_LABEL = (
    "for classifying its {}", "for classifying the {}", "for classification by {}", "for {} classification",
    "for identifying the {}", "for retrieving texts of the same {}", "for clustering by {}", "by its {}",
)  # fmt: skip
_FOR_TOPIC = (
    "for clustering by topic", "for classifying its topic", "for topic classification", "for classifying its subject",
    "for retrieving texts on the same subject", "by its topic", "for clustering by theme", "for identifying the topic",
)  # fmt: skip
_PLAIN = (
    "Represent the {}: ", "Represent the {}: ", "Represent the sentence: ", "Represent the text: ", "",
    "Represent the {} for semantic similarity: ", "Represent the {} for retrieval: ",
    "Represent the {} for clustering: ",
)  # fmt: skip
_KINDS = (
    "sentence", "text", "statement", "question", "query", "document", "paragraph", "passage", "title", "tweet",
    "comment", "news", "news title", "news article", "post", "forum post", "science title", "Science abstract",
    "scientific claim", "Wikipedia question", "Wikipedia document", "Medicine statement", "Finance sentence", "caption",
    "customer utterance", "bank customer question", "answer", "review", "dialogue", "headline", "example", "phrase",
)  # fmt: skip


class Wording:
    """Draws instructions."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def for_label(self, kinds: Sequence[str], label_kinds: Sequence[str]) -> str:
        """Return an instruction that asks for the label."""
        return self._say(kinds, self._one(_FOR_LABEL).format(self._one(label_kinds)))

    def for_others(self, kinds: Sequence[str]) -> str:
        """Return an instruction that asks for the topic, or for nothing in particular, or none."""
        if self._random.random() < 0.5:
            return self._say(kinds, self._one(_FOR_TOPIC))
        return self._one(_PLAIN).format(self._one(kinds))

    def varied(self, triple: Triple) -> Triple:
        """Return a triple with articles and endings of its instructions changed, each the same way."""
        article, ending = self._one(_ARTICLES), self._one(_ENDINGS)
        query, pos, neg = (
            side._replace(instruction=_reworded(side.instruction, article, ending)) for side in triple[:3]
        )
        return triple._replace(query=query, pos=pos, neg=neg)

    def of(self, instructions: Sequence[str]) -> str:
        """Return one of these instructions, or one for any text that asks for no label; a blank keeps it apart."""
        if self._random.random() < 0.5:
            said = _reworded(self._one(instructions), self._one(_ARTICLES), self._one(_ENDINGS))
        else:
            said = self.for_others(_KINDS)
        return f"{said.rstrip()} " if said else ""

    def _say(self, kinds: Sequence[str], objective: str) -> str:
        return f"Represent {self._one(_ARTICLES)}{self._one(kinds)} {objective}{self._one(_ENDINGS)}"

    def _one(self, choices: Sequence[str]) -> str:
        return choices[int(self._random.integers(len(choices)))]


def _reworded(instruction: str, article: str, ending: str) -> str:
    changed = re.sub(r"^Represent (the |an? )?", f"Represent {article}", instruction)
    return re.sub(r": $", ending, changed)
