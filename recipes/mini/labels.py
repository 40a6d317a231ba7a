"""Texts with labels, of the sources that have some; a part of each is held back for evaluation."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from instructor_embedding.files.records import read_records

HELD_BACK_PERCENT = 10

# GoEmotions' own grouping of its emotions (arXiv 2005.00547, table 1)
_GOOD = (
    "admiration", "amusement", "approval", "caring", "desire", "excitement",
    "gratitude", "joy", "love", "optimism", "pride", "relief",
)  # fmt: skip
_BAD = (
    "anger", "annoyance", "disappointment", "disapproval", "disgust", "embarrassment",
    "fear", "grief", "nervousness", "remorse", "sadness",
)  # fmt: skip
# and its grouping by Ekman's basic emotions
_BASIC = {
    "anger": ("anger", "annoyance", "disapproval"),
    "disgust": ("disgust",),
    "fear": ("fear", "nervousness"),
    "joy": (
        "joy", "amusement", "approval", "excitement", "gratitude", "love", "optimism", "relief", "pride", "admiration",
        "desire", "caring",
    ),
    "sadness": ("sadness", "disappointment", "embarrassment", "grief", "remorse"),
    "surprise": ("surprise", "realization", "confusion", "curiosity"),
}  # fmt: skip
_NAMES = {"POS": "positive", "NEG": "negative", "Good": "positive", "Bad": "negative"}
_SENTIMENT = ("task363_sst2", "task1687_sentiment140", "sapt_sst2", "sapt_yelp", "sapt_amazon")
_SAID = ("reddit comment", "comment", "tweet", "Twitter message", "social media post", "sentence", "text", "message")
_REVIEWS = ("review", "customer review", "opinion", "comment", "sentence", "text", "feedback", "statement")
_ASKED = (
    "voice assistant utterance", "utterance", "user query", "customer question", "request", "sentence", "text",
    "customer utterance", "customer service question",
)  # fmt: skip
_FEELINGS = ("emotion", "feeling", "emotional state", "mood")
_POLARITY = ("sentiment", "polarity", "opinion as positive or negative", "attitude as positive or negative")
_INTENTS = ("intent", "purpose", "user intent", "intention")


@dataclass(frozen=True)
class Labeled:
    """Texts of one source with one label each; what an instruction may call the texts and the label."""

    name: str
    kinds: tuple[str, ...]
    label_kinds: tuple[str, ...]
    texts: list[str]
    labels: list[str]

    def part(self, held: bool) -> Labeled:
        """Return the texts that are held back, or the others."""
        rows = [row for row in zip(self.texts, self.labels, strict=True) if held_back(row[0]) == held]
        return Labeled(
            self.name, self.kinds, self.label_kinds, [text for text, _ in rows], [label for _, label in rows]
        )


def held_back(text: str) -> bool:
    """Tell whether a text is kept for evaluation, in whatever source it stands."""
    return zlib.crc32(text.encode()) % 100 < HELD_BACK_PERCENT


def labeled_sources(folder: Path) -> Iterator[Labeled]:
    """Yield the sources that have labels."""
    comments, emotions = _pairs(folder / "pairs" / "goemotions_comment_emotion.jsonl.gz")
    yield Labeled("emotion", _SAID, _FEELINGS, comments, emotions)
    basic = {label: name for name, labels in _BASIC.items() for label in labels}
    yield Labeled("basic_emotion", _SAID, _FEELINGS, comments, [basic[label] for label in emotions])
    sides = {**dict.fromkeys(_GOOD, "positive"), **dict.fromkeys(_BAD, "negative")}
    kept = [(text, sides[label]) for text, label in zip(comments, emotions, strict=True) if label in sides]
    yield Labeled("comment_sentiment", _SAID + _REVIEWS, _POLARITY, *map(list, zip(*kept, strict=True)))
    yield Labeled("review_sentiment", _SAID + _REVIEWS, _POLARITY, *_reviews(folder / "super_ni"))
    for name in ("clinc150_utterance_intent", "sgd_utterance_intent"):
        yield Labeled(name, _ASKED, _INTENTS, *_pairs(folder / "pairs" / f"{name}.jsonl.gz"))


def _pairs(file: Path) -> tuple[list[str], list[str]]:
    rows = [row for _, row in read_records(file)]
    return [row[0] for row in rows], [row[1] for row in rows]


def _reviews(folder: Path) -> tuple[list[str], list[str]]:
    """Return texts of the instruction tasks whose answer is positive or negative, and rewritten ones."""
    texts: dict[str, str] = {}
    for file in sorted(folder.glob("*.jsonl.gz")):
        for _, task in read_records(file):
            for item in task.get("Instances", ()):
                answers = item["output"] if isinstance(item["output"], list) else [item["output"]]
                if task["task_name"].endswith("yelp_negative_to_positive_style_transfer"):
                    texts[item["input"]] = "negative"
                    texts |= dict.fromkeys(answers, "positive")
                elif task["task_name"].startswith(_SENTIMENT):
                    label = _NAMES.get(answers[0], answers[0]).removeprefix("very ")
                    if label in ("positive", "negative"):
                        texts[item["input"].removeprefix("Text: ").strip()] = label
    return list(texts), list(texts.values())
