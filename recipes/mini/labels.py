"""Texts with labels of many kinds: from labeled sources, from tasks in words, from rules, from facts of the sources.

Ten percent of all texts, by a hash, are never trained on; neither are the kinds in ``HELD_OUT``, which `matrix`
measures.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from instructor_embedding.medi import super_ni
from instructor_embedding.medi.source import Source
from recipes.mini import sources
from recipes.mini.rules import RULES

HELD_BACK_PERCENT = 10
# kinds that no step sees; chosen before any training, one of each way in which labels are made
HELD_OUT = ("person", "register", "politeness", "question word", "well-formedness")
MOST, FEWEST = 20_000, 20  # texts of a set, texts of a label that counts
_LONGEST = 400  # characters of a labeled text

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
_COMMENTS = (
    "reddit comment",
    "comment",
    "tweet",
    "Twitter message",
    "social media post",
    "sentence",
    "text",
    "message",
)
_REQUESTS = (
    "voice assistant utterance", "utterance", "user query", "customer question", "request", "sentence", "text",
    "customer utterance", "customer service question",
)  # fmt: skip
_TEXTS = ("text", "sentence", "statement", "document", "passage", "example")
_FEELINGS = ("emotion", "feeling", "emotional state", "mood")
_POLARITY = ("sentiment", "polarity", "opinion as positive or negative", "attitude as positive or negative")
_INTENTS = ("intent", "purpose", "user intent", "intention")


@dataclass(frozen=True)
class Labeled:
    """Texts with one label of one kind each.

    Attributes
    ----------
    name : str
        Of the set.
    kind : str
        Of the labels; sets of one kind are trained on or held out together.
    text_types, words : tuple of str
        What an instruction may call the texts, and the labels.
    texts, labels : list of str
    """

    name: str
    kind: str
    text_types: tuple[str, ...]
    words: tuple[str, ...]
    texts: list[str]
    labels: list[str]

    def subset(self, held_back: bool) -> Labeled:
        """Return the texts that are held back for evaluation, or the others."""
        rows = [row for row in zip(self.texts, self.labels, strict=True) if is_held_back(row[0]) == held_back]
        return self.of(rows)

    def of(self, rows: list[tuple[str, str]]) -> Labeled:
        """Return the set with other texts and labels."""
        return replace(self, texts=[text for text, _ in rows], labels=[label for _, label in rows])

    def frequent(self) -> Labeled:
        """Return the set without labels that few texts have."""
        counts = Counter(self.labels)
        return self.of([row for row in zip(self.texts, self.labels, strict=True) if counts[row[1]] >= FEWEST])


def is_held_back(text: str) -> bool:
    """Return whether a text is kept for evaluation, in every set that has it."""
    return zlib.crc32(text.encode()) % 100 < HELD_BACK_PERCENT


def labeled_sets(data: Path, *, rules: bool = True, most: int = MOST) -> list[Labeled]:
    """Return all sets with at least two labels, at most `most` texts each.

    Parameters
    ----------
    data : path
        See `sources.configuration`.
    rules : bool
        Include labels by rule and by source, whose texts are those of all sources.
    most : int
        Fewer for a rehearsal; then sources are read up to ten times as many relations.
    """
    files = {source.name: source for source in sources.used(data)}
    sets = [*_from_sources(files), *_from_tasks(data)]
    if rules:
        sets += _from_rules(list(files.values()), None if most == MOST else 10 * most)
    chosen = []
    for own in sets:
        own = own.frequent()
        order = np.random.default_rng(zlib.crc32(own.name.encode())).permutation(len(own.texts))[:most]
        own = own.of([(own.texts[index][:_LONGEST], own.labels[index]) for index in order])
        if len(set(own.labels)) > 1:
            chosen.append(own)
    return chosen


def _from_sources(files: dict[str, Source]) -> Iterator[Labeled]:
    """Yield the sets of sources that pair a text with its label."""
    rows = _pairs(files.get("goemotions_comment_emotion"))
    basic = {label: name for name, labels in _BASIC.items() for label in labels}
    sides = {**dict.fromkeys(_GOOD, "positive"), **dict.fromkeys(_BAD, "negative")}
    emotion = Labeled("emotion", "emotion", _COMMENTS, _FEELINGS, [], [])
    yield emotion.of(rows)
    yield replace(emotion, name="basic_emotion").of([(text, basic[label]) for text, label in rows if label in basic])
    comments = Labeled("comment_sentiment", "sentiment", _COMMENTS, _POLARITY, [], [])
    yield comments.of([(text, sides[label]) for text, label in rows if label in sides])
    for name in ("clinc150_utterance_intent", "sgd_utterance_intent"):
        yield Labeled(name, "intent", _REQUESTS, _INTENTS, [], []).of(_pairs(files.get(name)))
    quality = ("well-formedness", "grammatical quality", "correctness of form")
    wellformed = Labeled(
        "query_wellformedness", "well-formedness", ("query", "search query", "question"), quality, [], []
    )
    yield wellformed.of(_pairs(files.get("query_wellformedness")))


def _pairs(source: Source | None) -> list[tuple[str, str]]:
    return [(relation.query, relation.pos) for relation in source.relations()] if source else []


def _from_tasks(data: Path) -> Iterator[Labeled]:
    """Yield classification tasks of Super-NaturalInstructions; their definition is one of the wordings."""
    for task in sources.tasks(data):
        if task.is_classification:
            yield Labeled(task.name, task.name, _TEXTS, _task_words(task), task.inputs, task.outputs)


def _task_words(task: super_ni.Task) -> tuple[str, ...]:
    """Return words for the label of a task: its name in words, and the beginning of its definition."""
    first = task.definition.split(". ")[0].strip().rstrip(".").lower()
    return (task.facts.pos, *([first] if 10 < len(first) < 120 else []))


def _from_rules(files: list[Source], limit: int | None) -> Iterator[Labeled]:
    """Yield a set for each rule, and for the domain and the type of texts, all over the texts of all sources."""
    random = np.random.default_rng(0)
    texts: dict[str, tuple[str, str]] = {}
    for source in files:
        if source.facts is None:
            continue
        facts = source.facts
        relations = list(islice(source.relations(lambda record: None), limit))
        rows = [(relation.query, facts.query) for relation in relations]
        if facts.kind != "label":
            rows += [(relation.pos, facts.pos) for relation in relations]
        rows = [row for row in rows if 10 <= len(row[0]) <= _LONGEST]
        # the same number of each source, so that a rule is not that of one source
        texts |= {rows[index][0]: (facts.domain, rows[index][1]) for index in random.permutation(len(rows))[:2000]}
    for rule in RULES:
        pairs = [(text, rule.label(text)) for text in texts]
        yield Labeled(f"rule {rule.name}", rule.name, _TEXTS, rule.words, [], []).of(
            _balanced([pair for pair in pairs if pair[1]])
        )
    domain = Labeled("domain", "topic", _TEXTS, ("topic", "subject", "domain", "field"), [], [])
    yield domain.of([(text, facts[0]) for text, facts in texts.items() if facts[0]])
    genre = Labeled("text type", "genre", _TEXTS, ("text type", "genre", "kind of text", "type of document"), [], [])
    yield genre.of([(text, facts[1]) for text, facts in texts.items() if facts[1]])


def _balanced(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return at most three times as many texts of a label as the rarest but one has, so that none is the usual one."""
    counts = sorted(Counter(label for _, label in rows).values())
    most = 3 * counts[min(1, len(counts) - 1)] if counts else 0
    seen: Counter[str] = Counter()
    kept = []
    for text, label in rows:
        seen[label] += 1
        if seen[label] <= most:
            kept.append((text, label))
    return kept
