"""What a file of triples holds, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.records import Reject
from instructor_embedding.medi.triple import read


@dataclass
class Findings:
    """What `check` found.

    Attributes
    ----------
    triples : int
    tasks : Counter
        Triples of each task.
    broken : int
        Records that are no triples.
    contaminated : list of str
        Places of triples that hold an evaluation text, the first hundred; `contaminations` counts them all.
    useless : int
        Triples whose negative is the positive or the query, which teach nothing or the wrong thing.
    outside : int
        Instructions that neither start with "Represent " nor are empty: the original's training refuses them.
    """

    triples: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    contaminations: int = 0
    contaminated: list[str] = field(default_factory=list)
    useless: int = 0
    outside: int = 0

    @property
    def clean(self) -> bool:
        """Whether there is nothing to complain about."""
        return not (self.broken or self.contaminations or self.useless or self.outside)


def check(path: Path, against: Texts | None = None, reject: Callable[[Reject], None] | None = None) -> Findings:
    """Read a whole file, in bounded memory.

    Parameters
    ----------
    path : path
        See `triple.read`.
    against : Texts, optional
        Evaluation texts that must not be there.
    reject : callable, optional
        Takes each record that is no triple.
    """
    found = Findings()

    def broken(record: Reject) -> None:
        found.broken += 1
        if reject is not None:
            reject(record)

    for number, triple in enumerate(read(path, broken), 1):
        found.triples += 1
        found.tasks[triple.task_name or str(triple.task)] += 1
        sides = (triple.query, triple.pos, triple.neg)
        found.useless += triple.neg.text in (triple.pos.text, triple.query.text)
        found.outside += any(side.instruction and not side.instruction.startswith("Represent ") for side in sides)
        if against is not None and against.holds(*(side.text for side in sides)):
            found.contaminations += 1
            if len(found.contaminated) < 100:
                found.contaminated.append(f"triple {number} ({triple.task_name or triple.task})")
    return found
