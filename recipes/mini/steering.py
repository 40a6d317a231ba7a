"""Triples that teach a model to obey: the same texts under instructions that ask for different things.

A text with a label can be represented for its label or for its topic. Under the first instruction it belongs to texts
of its label, whatever they speak of; under the second to texts that speak of the same, whatever their label. What is
near in topic is told by an encoder. The labels also stand in triples of their own, as names to be found.

    python recipes/mini/steering.py SOURCES OUTPUT.jsonl --teacher_cache FOLDER [--held_back HELD.jsonl]
"""

from __future__ import annotations

import argparse
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from instructor_embedding.instruction import Instruction, Pair
from instructor_embedding.medi.mine import nearest
from instructor_embedding.medi.triple import Triple, write
from instructor_embedding.training.teacher import Teacher, encoder_of

HELD_BACK_PERCENT = 5
FIRST_TASK = 100_000
NEIGHBORS = 48

# GoEmotions' own grouping of its emotions (arXiv 2005.00547, table 1)
_GOOD = (
    "admiration", "amusement", "approval", "caring", "desire", "excitement",
    "gratitude", "joy", "love", "optimism", "pride", "relief",
)  # fmt: skip
_BAD = (
    "anger", "annoyance", "disappointment", "disapproval", "disgust", "embarrassment",
    "fear", "grief", "nervousness", "remorse", "sadness",
)  # fmt: skip
_NAMES = {"POS": "positive", "NEG": "negative", "Good": "positive", "Bad": "negative"}


@dataclass(frozen=True)
class Labeled:
    """Texts of one source with one label each; what they are and what the label is."""

    name: str
    kinds: tuple[str, ...]
    label_kinds: tuple[str, ...]
    texts: list[str]
    labels: list[str]


def labeled_sources(folder: Path) -> Iterator[Labeled]:
    """Yield the sources that have labels."""
    comments, emotions = _pairs(folder / "pairs" / "goemotions_comment_emotion.jsonl.gz")
    kinds = (
        "reddit comment",
        "comment",
        "tweet",
        "Twitter message",
        "social media post",
        "sentence",
        "text",
        "message",
    )
    feelings = ("emotion", "feeling", "emotional state", "mood")
    yield Labeled("emotion", kinds, feelings, comments, emotions)
    sentiment = ("sentiment", "polarity", "opinion as positive or negative", "attitude as positive or negative")
    sides = {**dict.fromkeys(_GOOD, "positive"), **dict.fromkeys(_BAD, "negative")}
    kept = [(text, sides[label]) for text, label in zip(comments, emotions, strict=True) if label in sides]
    reviews = ("review", "customer review", "opinion", "comment", "sentence", "text", "feedback", "statement")
    yield Labeled("comment_sentiment", (*kinds, *reviews), sentiment, *map(list, zip(*kept, strict=True)))
    yield Labeled("review_sentiment", reviews, sentiment, *_reviews(folder / "super_ni"))
    asked = ("voice assistant utterance", "utterance", "user query", "customer question", "request", "sentence", "text")
    intents = ("intent", "purpose", "user intent", "intention")
    yield Labeled("assistant_intent", asked, intents, *_pairs(folder / "pairs" / "clinc150_utterance_intent.jsonl.gz"))
    said = ("dialogue utterance", "utterance", "customer message", "user request", "sentence", "text")
    yield Labeled("dialogue_intent", said, intents, *_pairs(folder / "pairs" / "sgd_utterance_intent.jsonl.gz"))


def _pairs(file: Path) -> tuple[list[str], list[str]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row[0] for row in rows], [row[1] for row in rows]


def _reviews(folder: Path) -> tuple[list[str], list[str]]:
    """Return texts of the instruction tasks whose answer is positive or negative, and rewritten ones."""
    texts: dict[str, str] = {}
    for file in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for task in map(json.loads, lines):
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


_SENTIMENT = ("task363_sst2", "task1687_sentiment140", "sapt_sst2", "sapt_yelp", "sapt_amazon")


class Wording:
    """Draws instructions: many ways to say the same."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random

    def __call__(self, kinds: Sequence[str], objectives: Sequence[str]) -> str:
        """Return one instruction for texts of one of these kinds and one of these objectives."""
        article = self._one(("the ", "the ", "the ", "a ", ""))
        ending = self._one((": ", ": ", ": ", "; ", ", ", " : ", "; Input: "))
        return f"Represent {article}{self._one(kinds)} {self._one(objectives)}{ending}"

    def _one(self, choices: Sequence[str]) -> str:
        return choices[int(self.random.integers(len(choices)))]


_FOR_LABEL = (
    "for classifying its {}",
    "for classifying the {}",
    "for classification by {}",
    "for {} classification",
    "for identifying the {}",
    "for retrieving texts of the same {}",
    "for clustering by {}",
    "by its {}",
)
_FOR_TOPIC = (
    "for clustering by topic",
    "for classifying its topic",
    "for topic classification",
    "for classifying its subject",
    "for retrieving texts on the same subject",
    "by its topic",
    "for clustering by theme",
    "for identifying the topic",
)


def triples_of(source: Labeled, vectors: np.ndarray, task: int, random: np.random.Generator) -> Iterator[Triple]:
    """Yield triples for the label by its name, for the label as what texts share, and for the topic."""
    wording = Wording(random)
    texts, labels = source.texts, np.array(source.labels)
    members = {label: np.flatnonzero(labels == label) for label in set(source.labels)}
    near = np.concatenate([places for _, places, _ in nearest(vectors, vectors, NEIGHBORS)])
    objectives = [form.format(kind) for kind in source.label_kinds for form in _FOR_LABEL]
    name = str(Instruction(source.label_kinds[0]))
    for row, text in enumerate(texts):
        label = labels[row]
        others = near[row][near[row] != row]
        unlike, alike = others[labels[others] != label], others[labels[others] == label]
        if not len(unlike):
            continue
        same_topic = int(unlike[0])  # speaks of the same, with another label
        asked = wording(source.kinds, objectives)
        query, wrong = Pair(asked, text), Pair(name, str(labels[same_topic]))
        yield Triple(query, Pair(name, str(label)), wrong, task, f"{source.name}_label")
        partner = int(random.choice(members[label]))
        if partner != row:
            pos, neg = Pair(asked, texts[partner]), Pair(asked, texts[same_topic])
            yield Triple(query, pos, neg, task + 1, f"{source.name}_same")
        elsewhere = members[label][~np.isin(members[label], alike) & (members[label] != row)]
        if len(elsewhere):
            asked = wording(source.kinds, _FOR_TOPIC)
            pos, neg = Pair(asked, texts[same_topic]), Pair(asked, texts[int(random.choice(elsewhere))])
            yield Triple(Pair(asked, text), pos, neg, task + 2, f"{source.name}_topic")


def held_back(text: str) -> bool:
    """Tell whether a text is kept for evaluation, in whatever source it stands."""
    return zlib.crc32(text.encode()) % 100 < HELD_BACK_PERCENT


def main() -> None:
    """Write the triples, and the texts held back from them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--teacher_cache", required=True)
    parser.add_argument("--teacher", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--held_back", type=Path)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    teacher = Teacher(given.teacher_cache, given.teacher)
    found: list[Triple] = []
    held: list[dict[str, str]] = []
    for number, source in enumerate(labeled_sources(given.sources)):
        rows = list(zip(source.texts, source.labels, strict=True))
        held += [{"source": source.name, "text": text, "label": label} for text, label in rows if held_back(text)]
        texts, labels = map(list, zip(*[row for row in rows if not held_back(row[0])], strict=True))
        pairs = [Pair("", text) for text in texts]
        teacher.fill(pairs, lambda: encoder_of(given.teacher, "cpu", False))
        known = replace(source, texts=texts, labels=labels)
        before = len(found)
        found += triples_of(known, teacher.vectors(pairs), FIRST_TASK + 10 * number, random)
        print(f"{source.name}: {len(pairs)} texts, {len(found) - before} triples")  # noqa: T201
    write(given.output, found)
    if given.held_back:
        given.held_back.write_text("".join(json.dumps(row) + "\n" for row in held), encoding="utf-8")


if __name__ == "__main__":
    main()
