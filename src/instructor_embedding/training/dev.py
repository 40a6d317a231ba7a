"""Small sets that tell during training whether the model learns: sentence pairs with scores, and triples."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.triple import Triple, read
from instructor_embedding.model.packed import Float32

Encode = Callable[[Sequence[Pair]], Float32]


@dataclass(frozen=True)
class DevSet:
    """One set: its name, and triples or (two texts, score) records.

    Scores: for sentence pairs ``spearman``, the rank correlation of cosines and scores; for triples ``accuracy``, the
    part of the queries that are nearer to their positive than to their negative, and ``recall_at_1``, the part whose
    positive is the nearest of all positives and negatives of the set.
    """

    name: str
    triples: tuple[Triple, ...] = ()
    first: tuple[Pair, ...] = ()
    second: tuple[Pair, ...] = ()
    scores: tuple[float, ...] = ()

    def score(self, encode: Encode) -> dict[str, float]:
        """Return the set's scores by name; the first is its main one."""
        if self.triples:
            return self._retrieval(encode)
        cosines = np.einsum("nd,nd->n", *(_unit(encode(side)) for side in (self.first, self.second)))
        correlation = need("scipy.stats", "evaluating while training").spearmanr(cosines, self.scores)
        return {"spearman": float(correlation.statistic)}

    def _retrieval(self, encode: Encode) -> dict[str, float]:
        query, pos, neg = (
            _unit(encode([getattr(triple, side) for triple in self.triples])) for side in ("query", "pos", "neg")
        )
        own = np.einsum("nd,nd->n", query, pos)
        # a text that is the positive itself, elsewhere in the set, does not count as another one
        texts = [[triple.pos.text for triple in self.triples], [triple.neg.text for triple in self.triples]]
        best = np.full(len(own), -np.inf, np.float32)
        for side, names in zip((pos, neg), texts, strict=True):
            cosines = query @ side.T
            cosines[np.array(texts[0])[:, None] == np.array(names)[None]] = -np.inf
            best = np.maximum(best, cosines.max(1))
        hard = np.einsum("nd,nd->n", query, neg)
        return {"recall_at_1": float((own > best).mean()), "accuracy": float((own > hard).mean())}


def read_dev(path: str, instruction: str, limit: int) -> DevSet:
    """Read a set: triples, or json lines of {"sentence1", "sentence2", "score"}, plain or gzip.

    Raises
    ------
    InputError
        The file is missing or its records are neither.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"dev_files: there is no file {path}")
    name = file.name.partition(".")[0]
    name = f"{file.parent.name}_{name}" if name in ("test", "dev", "validation", "train") else name
    first = _first_record(file)
    if first is None or "sentence1" not in first:
        triples = tuple(islice(read(file), limit))
        if not triples:
            raise InputError(f"{path} holds no records")
        return DevSet(name, triples)
    rows = [json.loads(line) for line in islice(_lines(file), limit)]
    try:
        return DevSet(
            name,
            first=tuple(Pair(row.get("instruction", instruction), row["sentence1"]) for row in rows),
            second=tuple(Pair(row.get("instruction", instruction), row["sentence2"]) for row in rows),
            scores=tuple(float(row["score"]) for row in rows),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: a record must hold sentence1, sentence2 and score: {error!r}") from None


def _first_record(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(next(iter(_lines(file)), "null"))
    except (ValueError, UnicodeDecodeError, gzip.BadGzipFile):
        return None
    return found if isinstance(found, dict) else None


def _lines(file: Path) -> Sequence[str]:
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else open(file, encoding="utf-8") as lines:
        return [line for line in lines if line.strip()]


def _unit(vectors: Float32) -> Float32:
    unit: Float32 = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
