"""Small sets that show during training whether the model learns: matches, scored pairs, labelled texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need
from instructor_embedding.files.named_data import Source, sources
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.forms import Instructions, Item, Labelled, Match, Reading, Scored
from instructor_embedding.model.packed import Float32
from instructor_embedding.vectors import unit

Encode = Callable[[Sequence[Pair]], Float32]


@dataclass(frozen=True)
class DevSet:
    """One set: its name and its records, all of one kind.

    Scores: for scored pairs ``spearman``, the rank correlation of cosines and scores; for matches ``recall_at_1``, the
    share of queries whose nearest text of all positives and negatives of the set is their own, and ``accuracy``, the
    share that is nearer to its positive than to its negatives (where there are some); for labelled texts ``accuracy``,
    the share whose nearest other text has the same label.
    """

    name: str
    items: tuple[Item, ...]

    def score(self, encode: Encode, dimensions: Sequence[int] = ()) -> dict[str, float]:
        """Return the set's scores by name; the first is its main one, those of fewer dimensions come last."""
        pairs = list(dict.fromkeys(pair for item in self.items for pair in _pairs(item)))
        index = {pair: number for number, pair in enumerate(pairs)}
        vectors = encode(pairs)
        scores = self._scores(unit(vectors), index)
        for dimension in dimensions:
            fewer = self._scores(unit(np.ascontiguousarray(vectors[:, :dimension])), index)
            scores |= {f"{name}_at_{dimension}": value for name, value in fewer.items()}
        return scores

    def _scores(self, vectors: Float32, index: dict[Pair, int]) -> dict[str, float]:
        if isinstance(self.items[0], Scored):
            return self._correlation(vectors, index)
        return self._retrieval(vectors, index) if isinstance(self.items[0], Match) else self._labels(vectors, index)

    def _correlation(self, vectors: Float32, index: dict[Pair, int]) -> dict[str, float]:
        scored = [item for item in self.items if isinstance(item, Scored)]
        first = vectors[[index[item.first] for item in scored]]
        second = vectors[[index[item.second] for item in scored]]
        cosines = np.einsum("nd,nd->n", first, second)
        if np.ptp(cosines) == 0:
            return {"spearman": 0.0}  # a model that gives all pairs the same cosine ranks nothing
        stats = need("scipy.stats", "evaluating while training")
        return {"spearman": float(stats.spearmanr(cosines, [item.score for item in scored]).statistic)}

    def _retrieval(self, vectors: Float32, index: dict[Pair, int]) -> dict[str, float]:
        matches = [item for item in self.items if isinstance(item, Match)]
        query = vectors[[index[item.query] for item in matches]]
        texts = list(dict.fromkeys(pair for item in matches for pair in (*item.positives, *item.negatives)))
        column = {pair: number for number, pair in enumerate(texts)}
        cosines = query @ vectors[[index[pair] for pair in texts]].T
        # the same query may come with several positives: none of them is a wrong answer
        matching: dict[Pair, set[int]] = {}
        for item in matches:
            matching.setdefault(item.query, set()).update(column[pair] for pair in item.positives)
        hits = hard = compared = 0
        for row, item in zip(cosines, matches, strict=True):
            right = list(matching[item.query])
            own = row[right].max()
            wrong = np.delete(row, right)
            hits += bool(own > wrong.max(initial=-np.inf))
            against = [column[pair] for pair in item.negatives if column[pair] not in matching[item.query]]
            if against:
                compared += 1
                hard += bool(own > row[against].max())
        scores = {"recall_at_1": hits / len(matches)}
        return scores | ({"accuracy": hard / compared} if compared else {})

    def _labels(self, vectors: Float32, index: dict[Pair, int]) -> dict[str, float]:
        labelled = [item for item in self.items if isinstance(item, Labelled)]
        rows = vectors[[index[item.text] for item in labelled]]
        cosines = rows @ rows.T
        np.fill_diagonal(cosines, -np.inf)
        labels = np.array([item.label for item in labelled])
        return {"accuracy": float((labels[cosines.argmax(axis=1)] == labels).mean())}


def read_dev(paths: Sequence[str], instruction: str, limit: int, reading: Reading | None = None) -> list[DevSet]:
    """Read the sets, each of one of the forms of `forms`; files of the same name get their folders before it.

    Raises
    ------
    InputError
        A file is missing, holds records of several kinds, or nothing that could be scored.
    """
    reading = reading or Reading()
    symmetric = reading.default.query if reading.default.query is not None else instruction
    sets = []
    for source in sources(paths, setting="dev_files"):
        items = tuple(islice(_items(source, reading, symmetric), limit))
        _refuse_degenerate(source.path, items)
        sets.append(DevSet(source.task.replace("/", "_"), items))
    return sets


def held_back(items: Mapping[str, Sequence[Item]]) -> list[DevSet]:
    """Return the sets of records that were held back from training, one for each kind."""
    sets = []
    for kind, records in items.items():
        name = "held_back" if len(items) == 1 else f"held_back_{kind}"
        _refuse_degenerate(name, records)
        sets.append(DevSet(name, tuple(records)))
    return sets


def _items(source: Source, reading: Reading, symmetric: str) -> Iterator[Item]:
    """Yield the records of a set; scored pairs and labelled texts without an instruction get `symmetric`."""
    with_default = replace(reading, default=Instructions(symmetric, reading.default.document))
    for (what, number), record in source.records():
        try:
            _, item = reading.item(record, source.task)
            yield item if isinstance(item, Match) else with_default.item(record, source.task)[1]
        except InputError as error:
            raise InputError(f"{source.path}, {what} {number}: {error}") from None


def _refuse_degenerate(path: str, items: Sequence[Item]) -> None:
    """Raise `InputError` for a set on which all models score the same."""
    kinds = {type(item) for item in items}
    if len(kinds) > 1:
        raise InputError(f"dev_files: {path} holds records of several forms; write one file for each")
    if len(items) < 2:
        raise InputError(f"dev_files: {path} holds {len(items)} record(s); a score needs at least 2")
    first = items[0]
    if isinstance(first, Scored) and len({item.score for item in items if isinstance(item, Scored)}) < 2:
        raise InputError(f"dev_files: all scores of {path} are {first.score:g}; nothing can correlate with them")
    if isinstance(first, Labelled):
        labels = Counter(item.label for item in items if isinstance(item, Labelled))
        if len(labels) < 2 or max(labels.values()) < 2:
            raise InputError(f"dev_files: {path} needs at least two labels, one of them with two texts")
    if isinstance(first, Match):
        texts = {pair for item in items if isinstance(item, Match) for pair in (*item.positives, *item.negatives)}
        if len(texts) < 2:
            raise InputError(f"dev_files: all records of {path} have the same text as positive, and no negatives")


def _pairs(item: Item) -> tuple[Pair, ...]:
    if isinstance(item, Match):
        return (item.query, *item.positives, *item.negatives)
    if isinstance(item, Scored):
        return (item.first, item.second)
    return (item.text,) if isinstance(item, Labelled) else (item,)
