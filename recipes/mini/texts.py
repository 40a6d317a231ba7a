"""The texts that the student is distilled on: about 1.2 million, with a fixed share for each group.

Of each source: short texts, sentences of long ones, and passages of up to a hundred words. Science and medicine,
questions and titles have shares of their own; within a group every source has the square root of its size as weight, so
that large sources do not drown small ones. Texts of the evaluation data are left out.

    python -m recipes.mini.texts OUTPUT.jsonl --data DATA [--most 1200000]
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from instructor_embedding.files.records import write_records
from instructor_embedding.medi.contamination import Texts
from recipes.mini import sources

MOST = 1_200_000
SHORT = 220  # characters of a short text at most
PASSAGE = 100  # words of a passage
# groups and their share of the texts; what a group lacks is drawn from the last one
SHARES = {"science": 0.2, "medicine": 0.2, "question": 0.2, "title": 0.1, "code": 0.05, "general": 0.25}
_SCIENCE = re.compile(r"scien|paper|mathematic|linguistic|biomedic", re.IGNORECASE)
_MEDICINE = re.compile(r"medic|covid|health|pubmed", re.IGNORECASE)
_CODE = re.compile(r"^code|command line|sql|python_pep|_docs|program", re.IGNORECASE)
_QUESTION = re.compile(r"\?\s*$|^(who|what|when|where|why|which|how|is|are|can|does|do|did)\b.{5,}", re.IGNORECASE)
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")


class Text(NamedTuple):
    """A text, its source and its group."""

    text: str
    source: str
    group: str


def units(text: str) -> Iterator[str]:
    """Yield what is drawn from a text: itself if it is short, else its sentences and its passages."""
    text = " ".join(text.split())
    if len(text) <= SHORT:
        if text:
            yield text
        return
    sentences = _END.split(text)
    yield from (sentence for sentence in sentences if 25 <= len(sentence) <= 300)
    passage: list[str] = []
    for sentence in sentences:
        passage += sentence.split()
        if len(passage) >= PASSAGE:
            yield " ".join(passage[:PASSAGE])
            passage = []
    if len(passage) > PASSAGE // 3:
        yield " ".join(passage)


def group_of(domain: str, text: str, kind: str) -> str:
    """Return the group of a text from the domain of its source and, of a first text, the kind of its relation."""
    if _MEDICINE.search(domain):
        return "medicine"
    if _SCIENCE.search(domain):
        return "science"
    if _CODE.search(domain):
        return "code"
    if _QUESTION.search(text):
        return "question"
    return "title" if kind == "title or name to text" and len(text) <= SHORT else "general"


def candidates(data: Path, limit: int | None = None) -> Iterator[Text]:
    """Yield the units of every source that may be used: of all its relations, or of the first `limit`."""
    for source in sources.used(data):
        if source.facts is None:
            continue
        for relation in islice(source.relations(lambda record: None), limit):
            for side, text in enumerate(relation[:3]):
                kind = source.facts.kind if side == 0 else ""
                for unit in units(text) if side == 0 or source.facts.kind != "label" else ():
                    yield Text(unit, source.name, group_of(source.facts.domain, unit, kind))
    for task in sources.tasks(data):
        for text in task.inputs[:limit]:
            for unit in units(text):
                yield Text(unit, task.name, group_of(f"{task.facts.domain} {task.name}", unit, ""))
    for name, texts in sources.corpus(data):
        for text in texts[:limit]:
            for unit in units(text):
                yield Text(unit, name, group_of(name, unit, ""))


def selected(texts: list[Text], most: int, seed: int = 0) -> list[Text]:
    """Return distinct texts in their groups' shares, shuffled."""
    random = np.random.default_rng(seed)
    by_group: dict[str, dict[str, list[Text]]] = {group: defaultdict(list) for group in SHARES}
    for text in {text.text: text for text in texts}.values():
        by_group[text.group][text.source].append(text)
    chosen: list[Text] = []
    for group, share in SHARES.items():
        last = group == list(SHARES)[-1]
        count = most - len(chosen) if last else round(most * share)
        own = by_group[group]
        sizes = np.array([len(rows) for rows in own.values()])
        for rows, number in zip(own.values(), quotas(sizes, count), strict=True):
            chosen += [rows[index] for index in random.permutation(len(rows))[:number]]
    return [chosen[index] for index in random.permutation(len(chosen))]


def quotas(sizes: np.ndarray, count: int) -> list[int]:
    """Return how many texts each source gives to a total of `count`, by the root of its size and at most all it has."""
    quota = np.zeros(len(sizes), np.int64)
    while (left := count - int(quota.sum())) > 0 and (quota < sizes).any():
        # what full sources could not give is distributed again among the others
        weights = np.where(quota < sizes, np.sqrt(sizes), 0)
        quota = np.minimum(
            sizes, quota + np.maximum(1, (left * weights / weights.sum()).astype(np.int64)) * (weights > 0)
        )
    over = int(quota.sum()) - count
    for index in np.argsort(-quota)[: max(0, over)]:
        quota[index] -= 1
    return [int(number) for number in quota]


def main() -> None:
    """Write the file of texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--limit", type=int, help="relations of each source, for a rehearsal")
    arguments = parser.parse_args()
    texts = list(candidates(arguments.data, arguments.limit))
    config = sources.configuration(arguments.data)
    owners = Texts.of(config.against).found_in(text.text for text in texts)
    clean = [text for text, owner in zip(texts, owners, strict=True) if not owner]
    rows = selected(clean, arguments.most)
    write_records(arguments.output, (text._asdict() for text in rows))
    counts = {group: sum(text.group == group for text in rows) for group in SHARES}
    print(f"{len(texts)} candidates, {len(texts) - len(clean)} of evaluation sets, {len(rows)} selected: {counts}")


if __name__ == "__main__":
    main()
