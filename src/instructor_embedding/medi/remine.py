"""Fresh hard negatives for an existing file of triples, by the model that is being trained (after a first round)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instructor_embedding.files.records import read_json
from instructor_embedding.medi import mine
from instructor_embedding.medi.compose import hard_negatives
from instructor_embedding.medi.encoders import Miner
from instructor_embedding.medi.relation import Relation
from instructor_embedding.medi.triple import Triple, TripleFile, write


@dataclass
class Remined:
    """Counts of `remine`.

    Attributes
    ----------
    triples : int
    changed : int
        Triples with another negative than before.
    without_candidate : int
        Triples for which no negative is left; they keep the old one.
    by_label : int
        Triples of tasks that were mined by label or output; they keep the old one.
    """

    triples: int = 0
    changed: int = 0
    without_candidate: int = 0
    by_label: int = 0


def remine(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    encoder: Miner,
    *,
    same: float = mine.SAME,
    guard: float = mine.GUARD,
    pool: int = 50_000,
    progress: Callable[[int], None] = lambda triples: None,
) -> Remined:
    """Write the triples of a file, in order, with negatives mined again among the positives of their task.

    Use it between two rounds of training with the model of the first. Texts that match through a chain of queries and
    positives never become negatives of each other; `same` and `guard` reject likely matches, see `mine.hard_negatives`.
    Tasks that the manifest beside the file lists as mined by label or output stay unchanged: their negatives
    are known to differ, and no guard on vectors is as good (docs/medi.md).

    Parameters
    ----------
    path, output : path
        See `triple.read` and `triple.write`.
    encoder : BM25 or AnyEncoder
        Encodes texts without instructions.
    same, guard : float
    pool : int
        Triples of a task among which negatives are searched; time grows with its square.
    progress : callable
        Called with the number of triples after each pool.

    Raises
    ------
    InputError
        A record is not a triple, or the output cannot be written.
    """
    file = TripleFile(path, scratch=Path(output).parent if str(output) != "-" else None)
    counts = Remined(triples=len(file))
    negatives: dict[int, str] = {}
    by_label = _by_label(Path(path))
    for rows in _pools(file, pool):
        if int(file.tasks[rows[0]]) in by_label:
            counts.by_label += len(rows)
            continue
        triples = [file[int(row)] for row in rows]
        texts = hard_negatives(_relations(triples), encoder, same=same, guard=guard)
        for row, triple, text in zip(rows.tolist(), triples, texts, strict=True):
            counts.without_candidate += not text
            if text and text != triple.neg.text:
                negatives[row] = text
        progress(len(rows))
    counts.changed = len(negatives)

    def renewed() -> Iterator[Triple]:
        for row, triple in enumerate(file):
            text = negatives.get(row, triple.neg.text)
            yield triple._replace(neg=triple.pos._replace(text=text)) if row in negatives else triple

    write(output, renewed())
    return counts


def _pools(file: TripleFile, pool: int) -> Iterator[np.ndarray]:
    """Yield the record indices of each task, at most `pool` at a time."""
    for task in np.unique(file.tasks):
        rows = np.flatnonzero(file.tasks == task)
        yield from np.split(rows, range(pool, len(rows), pool))


def _by_label(path: Path) -> set[int]:
    """Return the tasks that the manifest of a file lists as mined by label or output."""
    manifest = path.with_name(path.name + ".manifest.json")
    if not manifest.is_file():
        return set()
    return {task["task"] for task in read_json(manifest)["tasks"] if task.get("mined", "positives") != "positives"}


def _relations(triples: list[Triple]) -> list[Relation]:
    """Return the relations of triples; texts that a chain of matches connects share a group."""
    root: dict[str, str] = {}

    def find(text: str) -> str:
        while root.setdefault(text, text) != text:
            root[text] = root[root[text]]  # halves the path, so that later searches are short
            text = root[text]
        return text

    for triple in triples:
        root[find(triple.query.text)] = find(triple.pos.text)
    return [Relation(triple.query.text, triple.pos.text, group=find(triple.query.text)) for triple in triples]
