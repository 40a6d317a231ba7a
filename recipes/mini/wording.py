"""Instructions in many wordings: training frames, and frames that are held back to measure on.

A model that knows one wording minds its punctuation; one that knows twenty minds its label word. A third of the frames
is never trained on (``FRAMES[2::3]``), so that `matrix` measures wordings that a user would write and training did not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from instructor_embedding.medi.triple import Triple

_ARTICLES = ("the ", "the ", "the ", "a ", "this ", "")
_ENDINGS = (": ", ": ", ": ", "; ", ", ", " : ", ". ", "; Input: ")
# {} is the label word: "sentiment", "tense"
FRAMES = (
    "for classifying its {}", "for classifying the {}", "to find out its {}", "for classification by {}",
    "for {} classification", "with regard to its {}", "for identifying the {}", "for detecting its {}",
    "so that texts of equal {} are close", "for retrieving texts of the same {}", "for clustering by {}",
    "to tell apart different {} values", "by its {}", "for {} detection", "according to its {}",
    "for grouping by {}", "to recognize the {}", "focusing on {}", "for {} prediction", "to determine its {}",
    "what is its {}?",
)  # fmt: skip
# what a label word must not be obeyed in: {} is the label word, {other} another one or the topic
IGNORING = (
    "for ignoring its {}", "regardless of its {}", "whatever its {}", "without regard to the {}",
    "independent of {}", "so that its {} does not matter",
)  # fmt: skip
INSTEAD = (
    "for classifying its {other}, not its {}", "for {other} classification rather than {}",
    "by its {other} and not by its {}", "for identifying the {other} instead of the {}",
    "for clustering by {other}, ignoring {}", "for its {other}, whatever its {}",
)  # fmt: skip
_FOR_TOPIC = (
    "for clustering by topic", "for classifying its topic", "for topic classification", "for classifying its subject",
    "for retrieving texts on the same subject", "by its topic", "for clustering by theme", "for identifying the topic",
)  # fmt: skip
_PLAIN = (
    "Represent the {}: ", "Represent the {}: ", "Represent the sentence: ", "Represent the text: ", "",
    "Represent the {} for semantic similarity: ", "Represent the {} for retrieval: ",
    "Represent the {} for clustering: ", "Represent the {} for searching: ",
    "Represent the {} for finding duplicates: ",
)  # fmt: skip
_KINDS = (
    "sentence", "text", "statement", "question", "query", "document", "paragraph", "passage", "title", "tweet",
    "comment", "news", "news title", "news article", "post", "forum post", "science title", "Science abstract",
    "scientific claim", "Wikipedia question", "Wikipedia document", "Medicine statement", "Finance sentence", "caption",
    "customer utterance", "bank customer question", "answer", "review", "dialogue", "headline", "example", "phrase",
)  # fmt: skip
# instructions with one of these request a label, so distillation leaves them out
LABEL_WORDS = re.compile(
    "emotion|sentiment|intent|feeling|mood|polarity|toxic|hate|sarcas|tense|register|tone|style|length|language|polite",
    re.IGNORECASE,
)


def trained(frames: Sequence[str]) -> list[str]:
    """Return the frames that are trained on."""
    return [frame for index, frame in enumerate(frames) if index % 3 != 2]


def held_back(frames: Sequence[str]) -> list[str]:
    """Return the frames that are not trained on."""
    return list(frames[2::3])


class Wording:
    """Draws instructions of training."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def for_label(self, kinds: Sequence[str], label_words: Sequence[str]) -> str:
        """Return an instruction that requests the label."""
        return self._instruction(kinds, self._draw(trained(FRAMES)).format(self._draw(label_words)))

    def ignoring(self, kinds: Sequence[str], label_words: Sequence[str]) -> str:
        """Return an instruction with the label word that requests to ignore it."""
        return self._instruction(kinds, self._draw(trained(IGNORING)).format(self._draw(label_words)))

    def instead(self, kinds: Sequence[str], label_words: Sequence[str], others: Sequence[str]) -> str:
        """Return an instruction that requests another label than that of `label_words`, which it names as well."""
        frame = self._draw(trained(INSTEAD))
        return self._instruction(kinds, frame.format(self._draw(label_words), other=self._draw(others)))

    def for_others(self, kinds: Sequence[str]) -> str:
        """Return an instruction that requests the topic, or nothing in particular, or an empty one."""
        if self._random.random() < 0.5:
            return self._instruction(kinds, self._draw(_FOR_TOPIC))
        return self._draw(_PLAIN).format(self._draw(kinds))

    def varied(self, triple: Triple) -> Triple:
        """Return a triple with the articles and endings of its instructions changed, the same way on each side."""
        article, ending = self._draw(_ARTICLES), self._draw(_ENDINGS)
        query, pos, neg = (
            side._replace(instruction=_reworded(side.instruction, article, ending)) for side in triple[:3]
        )
        return triple._replace(query=query, pos=pos, neg=neg)

    def base(self, instructions: Sequence[str], share: float) -> str:
        """Return an instruction that requests no label for a share of the calls, ``""`` for the others.

        It ends with a blank, so that the text's first token is the same as without it.
        """
        if self._random.random() >= share:
            return ""
        if instructions and self._random.random() < 0.5:
            text = _reworded(self._draw(instructions), self._draw(_ARTICLES), self._draw(_ENDINGS))
        else:
            text = self.for_others(_KINDS)
        return f"{text.rstrip()} " if text else ""

    def _instruction(self, kinds: Sequence[str], objective: str) -> str:
        return f"Represent {self._draw(_ARTICLES)}{self._draw(kinds)} {objective}{self._draw(_ENDINGS)}"

    def _draw(self, choices: Sequence[str]) -> str:
        return choices[int(self._random.integers(len(choices)))]


def _reworded(instruction: str, article: str, ending: str) -> str:
    changed = re.sub(r"^Represent (the |an? )?", f"Represent {article}", instruction)
    return re.sub(r": $", ending, changed)
