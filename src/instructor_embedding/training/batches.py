"""Which records form which batch: one task per batch, tasks mixed as requested, every record accounted for.

In-batch negatives of another task differ by the task alone, which teaches nothing, so a batch never mixes
tasks (paper, section 2.3). A task that is smaller than a batch gets smaller batches; none is dropped for its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from instructor_embedding.errors import InputError
from instructor_embedding.medi.batches import original_windows

ORDERS = ("shuffled", "original")
MIXINGS = ("size", "equal", "temperature", "weights")

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Mixing:
    """The share of each task in an epoch.

    ``"size"``: every record once. ``"equal"``: the same number of records of each task. ``"temperature"``: sizes to the
    power of 1 / `temperature` (1 is size, larger is nearer to equal). ``"weights"``: as given. An epoch has as many
    records as there are, so small tasks are repeated and a different part of large ones comes in each epoch.
    """

    kind: str = "size"
    temperature: float = 2.0
    weights: Mapping[str, float] = field(default_factory=dict)

    def shares(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Return the share of each task, which sum up to 1.

        Raises
        ------
        InputError
            Weights name no task, or no weight names a task.
        """
        if self.kind == "weights":
            raw = self._weighed(counts)
        elif self.kind == "equal":
            raw = dict.fromkeys(counts, 1.0)
        else:
            power = 1.0 if self.kind == "size" else 1.0 / self.temperature
            raw = {name: float(count) ** power for name, count in counts.items()}
        total = sum(raw.values())
        return {name: value / total for name, value in raw.items()}

    def _weighed(self, counts: Mapping[str, int]) -> dict[str, float]:
        raw: dict[str, float] = {}
        used = set()
        for name in counts:
            pattern = name if name in self.weights else next((p for p in self.weights if fnmatchcase(name, p)), None)
            if pattern is None:
                raise InputError(f"task_weights has no weight for the task {name!r}; pass {name}=0 to leave it out")
            used.add(pattern)
            raw[name] = self.weights[pattern]
        unused = [pattern for pattern in self.weights if pattern not in used]
        if unused:
            raise InputError(f"task_weights: no task matches {unused[0]!r}; tasks are {', '.join(list(counts)[:20])}")
        if not sum(raw.values()) > 0:
            raise InputError("task_weights leaves no task; at least one weight must be above 0")
        return raw


def weights_of(assignments: Sequence[str]) -> dict[str, float]:
    """Return the weights of ``--task_weights task=3 other=1``.

    Raises
    ------
    InputError
        An assignment has another form.
    """
    weights: dict[str, float] = {}
    for assignment in assignments:
        name, _, value = assignment.rpartition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            name = ""
        if not name or not 0 <= weights[name] < float("inf"):
            raise InputError(
                f"task_weights: {assignment!r} must be task=weight, such as news=2, with a weight of 0 or more"
            )
    return weights


@dataclass(frozen=True)
class BatchOrder:
    """How records become batches.

    Attributes
    ----------
    kind : str
        One of ``ORDERS``; ``"original"`` forms those of the original's train.py, in its order.
    size : int
        Records per batch and process, at most.
    seed, rank, world : int
    max_examples : int, optional
    mixing : Mixing
    """

    kind: str
    size: int
    seed: int
    rank: int = 0
    world: int = 1
    max_examples: int | None = None
    mixing: Mixing = Mixing()


class Used(NamedTuple):
    """What a run takes of one task.

    Attributes
    ----------
    records : int
        How many there are.
    used : int
        How many of them are in some batch.
    drawn : int
        Records in all batches, repetitions included.
    smallest, largest : int
        Records of a batch, over all processes.
    """

    records: int
    used: int
    drawn: int
    smallest: int
    largest: int


class _Epoch(NamedTuple):
    """The batches of an epoch: batch b has the records ``order[starts[b]:starts[b + 1]]``, over all processes."""

    order: Indices
    starts: Indices


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """The batches of the epoch that `set_epoch` names, the same on every run of the same seed.

    Each batch is a list of (index of a record, epoch), this process' share of it.

    Parameters
    ----------
    tasks : int array of shape (n,)
        Task of each record.
    order : BatchOrder
    names : sequence of str, optional
        Of the tasks, for weights and messages.
    usable : bool array of shape (n,), optional
        Which records may be used at all.

    Raises
    ------
    InputError
        No batch can be formed.
    """

    def __init__(
        self,
        tasks: NDArray[Any],
        order: BatchOrder,
        names: Sequence[str] = (),
        usable: NDArray[np.bool_] | None = None,
    ) -> None:
        self.tasks = np.asarray(tasks)
        self.order = order
        self.names = names
        self.epoch = 0
        records = np.arange(len(self.tasks)) if usable is None else np.flatnonzero(usable)
        kind = self.tasks[records]
        by_task = np.argsort(kind, kind="stable")
        numbers, firsts = np.unique(kind[by_task], return_index=True)
        groups = np.split(records[by_task], firsts[1:]) if len(records) else []
        self._groups: dict[int, Indices] = dict(zip(numbers.tolist(), groups, strict=True))
        self._records = records
        if order.kind == "shuffled":
            self._take_fewer()
            self._quotas = self._shared_out()
        self._batches = self._form(0)
        if not len(self):
            total = order.size * order.world
            in_file = " and no task has as many in a row" if order.kind == "original" else ""
            raise InputError(
                f"no batch can be formed: a batch is {total if in_file else order.world} records of one task{in_file}; "
                + ("lower per_device_train_batch_size" if in_file else "start fewer processes")
            )

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for another epoch."""
        if epoch != self.epoch:
            self._batches = self._form(epoch)
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._batches.starts) - 1

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order, starts = self._batches
        for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            share = (last - first) // self.order.world
            mine = order[first + self.order.rank * share : first + (self.order.rank + 1) * share]
            yield [(index, self.epoch) for index in mine.tolist()]

    def used(self, batches: int | None = None) -> dict[int, Used]:
        """Return what so many batches from the start of training take of each task; default: one epoch's."""
        total = len(self) if batches is None else batches
        seen = np.zeros(len(self.tasks), np.bool_)
        drawn: dict[int, int] = dict.fromkeys(self._all_tasks(), 0)
        sizes: dict[int, list[int]] = {task: [] for task in drawn}
        epoch = 0
        while total > 0:
            order, starts = self._form(epoch)
            starts = starts[: total + 1]
            seen[order[: starts[-1]]] = True
            for task, size in zip(self.tasks[order[starts[:-1]]].tolist(), np.diff(starts).tolist(), strict=True):
                drawn[task] += size
                sizes[task] = [min([size, *sizes[task]]), max([size, *sizes[task]])]
            total -= len(starts) - 1
            epoch += 1
        return {
            task: Used(
                int((self.tasks == task).sum()),
                int(seen[self.tasks == task].sum()),
                drawn[task],
                *(sizes[task] or (0, 0)),
            )
            for task in drawn
        }

    def _all_tasks(self) -> list[int]:
        return [int(task) for task in np.unique(self.tasks)]

    def _name(self, task: int) -> str:
        return self.names[task] if self.names else str(task)

    def _take_fewer(self) -> None:
        """Keep ``max_examples`` records, the same share of each task."""
        limit = self.order.max_examples
        total = sum(map(len, self._groups.values()))
        if limit is None or limit >= total:
            return
        counts = {task: len(group) for task, group in self._groups.items()}
        quotas = _apportioned({task: count / total for task, count in counts.items()}, limit)
        random = np.random.default_rng(self.order.seed)
        chosen = {task: random.choice(group, quotas[task], replace=False) for task, group in self._groups.items()}
        self._groups = {task: np.sort(group) for task, group in chosen.items() if len(group)}

    def _shared_out(self) -> dict[int, int]:
        """Return the records of each task in an epoch."""
        world = self.order.world
        counts = {task: len(group) for task, group in self._groups.items()}
        if self.order.mixing.kind == "size":
            quotas = counts
        else:
            names = {task: self._name(task) for task in counts}
            totals: dict[str, int] = {}
            for task, count in counts.items():  # one file may hold scores and matches: two tasks of one name
                totals[names[task]] = totals.get(names[task], 0) + count
            by_name = self.order.mixing.shares(totals)
            shares = {task: by_name[names[task]] * count / totals[names[task]] for task, count in counts.items()}
            quotas = _apportioned(shares, sum(counts.values()))
            quotas = {task: max(quotas[task], min(2 * world, counts[task])) if shares[task] else 0 for task in counts}
        return {task: quota // world * world for task, quota in quotas.items() if counts[task] >= world}

    def _form(self, epoch: int) -> _Epoch:
        if self.order.kind == "original":
            return self._original()
        blocks: list[Indices] = []
        keys: list[NDArray[np.float64]] = []
        sizes: list[int] = []
        for task, quota in self._quotas.items():
            if not quota:
                continue
            formed = self._of_task(task, quota, epoch)
            blocks += formed
            sizes += [len(block) for block in formed]
            # one key from each of as many equal stretches: at any step the shares so far are those of the epoch
            random = np.random.default_rng([self.order.seed, epoch, task, 1])
            keys.append((np.arange(len(formed)) + random.random(len(formed))) / len(formed))
        order = np.argsort(np.concatenate(keys), kind="stable") if keys else np.empty(0, np.int64)
        return _Epoch(_joined(blocks[number] for number in order), _starts(sizes[number] for number in order))

    def _of_task(self, task: int, quota: int, epoch: int) -> list[Indices]:
        """Return the batches of a task, of nearly the same size each; no batch holds a record twice."""
        group, world = self._groups[task], self.order.world
        units = quota // world
        most = min(self.order.size, len(group) // world)
        count = -(-units // most)
        sizes = [(units // count + (number < units % count)) * world for number in range(count)]
        if quota <= len(group):
            # a large task goes through all its records before any comes again
            slots = len(group) // quota
            random = np.random.default_rng([self.order.seed, epoch // slots, task, 0])
            first = epoch % slots * quota
            shuffled = random.permutation(group)[first : first + quota]
            return np.split(shuffled, np.cumsum(sizes)[:-1])
        batches, position = [], len(group)
        random = np.random.default_rng([self.order.seed, epoch, task, 0])
        for size in sizes:
            if position + size > len(group):
                shuffled, position = random.permutation(group), 0
            batches.append(shuffled[position : position + size])
            position += size
        return batches

    def _original(self) -> _Epoch:
        """Return the original's windows over the file's order; see `medi.batches.original_windows`."""
        total = self.order.size * self.order.world
        windows = original_windows(
            self.tasks[self._records], total, seed=self.order.seed, max_examples=self.order.max_examples
        )
        return _Epoch(_joined(self._records[window] for window in windows), _starts([total] * len(windows)))


def _joined(blocks: Any) -> Indices:
    return np.concatenate([np.empty(0, np.int64), *blocks])


def _starts(sizes: Any) -> Indices:
    return np.cumsum([0, *sizes], dtype=np.int64)


def _apportioned(shares: Mapping[int, float], total: int) -> dict[int, int]:
    """Share out records: each task gets its share rounded down, those with the largest remainders one more."""
    exact = {task: share * total for task, share in shares.items()}
    quotas = {task: int(value) for task, value in exact.items()}
    rest = round(total - sum(quotas.values()))
    for task in sorted(exact, key=lambda task: quotas[task] - exact[task])[:rest]:
        quotas[task] += 1
    return quotas
