"""Score: what every evaluation returns, with everything that made it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.evaluation.appended import append, mend
from instructor_embedding.files.records import read_records

# parts of `config` that state how a run went and not what it was
CIRCUMSTANCES = ("metrics", "repeats", "seconds", "date", "cost", "size", "instructions_from")


@dataclass(frozen=True)
class Score:
    """One figure of one task, and all that is needed to compute it again.

    Use `str()` to print it, `difference` to compare two, `Results` and `read` to store them.

    Parameters
    ----------
    task : str
        ``"STSBenchmark"``.
    metric : str
        ``"cosine_spearman"``.
    value : float
        In percent, as the papers print it: a rate, a correlation or a gain times 100.
    n : int
        Number of judged items: pairs, queries, texts.
    config : dict
        ``benchmark``, ``category``, ``model`` (name, fingerprint, how it was loaded), ``instructions`` (side to
        string), ``sources`` (side to where the instruction is from), ``data``, ``settings``, ``versions``; and, as
        circumstances that do not make it another score, ``metrics`` (further figures of the same run), ``repeats``
        (values of the repetitions that the figure is the mean of), ``seconds``, ``date``, ``cost`` (texts encoded,
        texts per second, peak memory), ``size`` (parameters and bytes of the model) and ``instructions_from`` (the
        table that a report groups by).

    Examples
    --------
    >>> print(Score("STSBenchmark", "cosine_spearman", 82.03, 1379))
    STSBenchmark cosine_spearman 82.03 (n=1379)
    """

    task: str
    metric: str
    value: float
    n: int
    config: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the score in one line."""
        return f"{self.task} {self.metric} {self.value:.2f} (n={self.n})"

    @property
    def model(self) -> str:
        """The name of the model, or ``""``."""
        return str(self.config.get("model", {}).get("name", ""))

    @property
    def category(self) -> str:
        """The category whose mean it enters, such as ``"STS"``, or ``""``."""
        return str(self.config.get("category", ""))

    @property
    def key(self) -> str:
        """A digest of what was run: equal for a run of the same model, data, instructions, settings and versions."""
        return key_of(self.task, self.config)

    def difference(self, other: Score) -> float:
        """Return by how many points this score is above `other`.

        Raises
        ------
        InputError
            They are not of the same task, metric and data, so that the difference would mean nothing.
        """
        mine, theirs = ((score.task, score.metric, score.config.get("data")) for score in (self, other))
        if mine != theirs:
            what = next(name for name, a, b in zip(("task", "metric", "data"), mine, theirs, strict=True) if a != b)
            raise InputError(f"{self} and {other} cannot be compared: their {what} differs")
        return self.value - other.value


def key_of(task: str, config: Mapping[str, Any]) -> str:
    """Return the digest that a `Score` of `task` with this `config` has."""
    what = {name: value for name, value in config.items() if name not in CIRCUMSTANCES}
    text = json.dumps([task, what], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Results:
    """A file of scores; what is in it is not run twice.

    Parameters
    ----------
    path : path, optional
        Json lines; made when the first score comes. A last line that an interruption truncated is removed. Default: in
        memory alone.

    Raises
    ------
    InputError
        The file has other content.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = Path(path) if path is not None else None
        known: list[Score] = []
        if self._path is not None and self._path.exists():
            mend(self._path)
            known = read(self._path)
        self._known = {score.key: score for score in known}

    def find(self, task: str, config: Mapping[str, Any]) -> Score | None:
        """Return the score of the same run, or None."""
        return self._known.get(key_of(task, config))

    def add(self, score: Score) -> None:
        """Store a score.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        self._known[score.key] = score
        if self._path is not None:
            append(self._path, asdict(score))


def read(path: str | os.PathLike[str]) -> list[Score]:
    """Return the scores of a file that `Results` wrote; of runs with the same `key` only the last.

    Raises
    ------
    InputError
        The file is missing, or a line is not a score; the message has the line's number.
    """
    scores: dict[tuple[str, str], Score] = {}
    for (_, number), record in read_records(path, format="jsonl"):
        try:
            score = Score(**record)
            scores[score.key, score.metric] = score
        except (TypeError, AttributeError):
            raise InputError(
                f"{path}, line {number} is not a score; a file of scores is what 'instructor-embed evaluate' writes"
            ) from None
    return list(scores.values())
