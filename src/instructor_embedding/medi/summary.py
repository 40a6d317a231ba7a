"""Statistics of a file of triples: counts, lengths, instructions, duplicates, examples; and a plot."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.extras import need
from instructor_embedding.files import picture
from instructor_embedding.medi.triple import SIDES, Triple, read, record_of

_EDGES = 2 ** np.arange(14)  # words; the last bin is open
_TASKS = 5000  # tasks that are counted separately; later ones are "(others)"
_INSTRUCTIONS = 20_000


@dataclass
class Task:
    """One task of a summary.

    Attributes
    ----------
    triples : int
    words : dict of str to int
        Sum of the words of each side; divide by `triples` for the mean.
    example : dict
        Its first triple, as in the file.
    """

    triples: int
    words: dict[str, int]
    example: dict[str, Any]


@dataclass
class Summary:
    """Result of `summarize`.

    Attributes
    ----------
    triples : int
    tasks : dict of str to Task
    instructions : Counter
        How often each occurs, on both sides; after the first 20,000 under ``"(others)"``.
    lengths : dict of str to list of int
        For each side the number of texts with up to 1, 2, 4, ... 8192 words, and more.
    duplicate_triples : int
        Triples that occurred before.
    repeated_queries : int
        Queries that occurred before in their task: in one batch they are false negatives of each other.
    """

    triples: int = 0
    tasks: dict[str, Task] = field(default_factory=dict)
    instructions: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, list[int]] = field(default_factory=dict)
    duplicate_triples: int = 0
    repeated_queries: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it as json data."""
        tasks = {name: vars(task) for name, task in self.tasks.items()}
        return {**vars(self), "tasks": tasks, "instructions": dict(self.instructions)}


def summarize(path: Path, watched: Callable[[Iterable[Triple]], Iterable[Triple]] = lambda triples: triples) -> Summary:
    """Summarize a file; memory grows by 16 bytes per triple.

    Parameters
    ----------
    path : path
        See `triple.read`.
    watched : callable, optional
        Wraps the stream of triples, as a progress bar does.

    Raises
    ------
    InputError
        A record is not a triple.
    """
    summary = Summary()
    marks, queries = array("Q"), array("Q")
    lengths = {side: np.zeros(len(_EDGES) + 1, np.int64) for side in SIDES}
    for triple in watched(read(path)):
        summary.triples += 1
        words = {side: len(getattr(triple, side).text.split()) for side in SIDES}
        for side, count in words.items():
            lengths[side][np.searchsorted(_EDGES, count)] += 1
        name = triple.task_name or str(triple.task)
        task = summary.tasks.get(name if name in summary.tasks or len(summary.tasks) < _TASKS else "(others)")
        if task is None:
            task = summary.tasks[name] = Task(0, dict.fromkeys(SIDES, 0), record_of(triple))
        task.triples += 1
        for side, count in words.items():
            task.words[side] += count
        for instruction in (triple.query.instruction, triple.pos.instruction):
            known = instruction in summary.instructions or len(summary.instructions) < _INSTRUCTIONS
            summary.instructions[instruction if known else "(others)"] += 1
        texts = (triple.query.text, triple.pos.text, triple.neg.text)
        marks.append(_mark(str(triple.task), *texts))
        queries.append(_mark(str(triple.task), triple.query.text))
    summary.lengths = {side: counts.tolist() for side, counts in lengths.items()}
    summary.duplicate_triples = _repeated(marks)
    summary.repeated_queries = _repeated(queries)
    return summary


def plot(summary: Summary, path: Path) -> None:
    """Draw triples by task and lengths by side into a picture; the extension determines its format.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    figures = need("matplotlib.figure", "drawing a plot")
    figure = figures.Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = sorted((task.triples for task in summary.tasks.values()), reverse=True)
    left.plot(range(1, len(sizes) + 1), sizes, drawstyle="steps-mid")
    left.set(yscale="log", xlabel="task, largest first", ylabel="triples", title=f"{summary.triples:,} triples")
    for side, counts in summary.lengths.items():
        right.plot(_EDGES, counts[: len(_EDGES)], marker="o", label=side)
    right.set(xscale="log", xlabel="words, up to", ylabel="texts", title="length")
    right.set_xscale("log", base=2)
    right.legend()
    picture.write(figure, path, dpi=100)


def _mark(*texts: str) -> int:
    return int.from_bytes(blake2b("\0".join(texts).encode(), digest_size=8).digest(), "little")


def _repeated(marks: array[int]) -> int:
    return len(marks) - len(np.unique(np.frombuffer(marks, np.uint64))) if marks else 0
