"""Batches: of one task each, nothing lost but the remainder, the same for all ranks; the original's order."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor_embedding import InputError
from instructor_embedding.medi import batches as module
from instructor_embedding.medi.batches import homogeneous, original_windows

TASKS = st.lists(st.integers(-3, 5), max_size=200)


def joined(batches):
    return np.concatenate([*batches, np.empty(0, np.int64)]).astype(int).tolist()


@given(TASKS, st.integers(1, 7), st.integers(1, 3), st.integers(0, 3))
def test_every_record_is_in_one_batch_or_counted(tasks, size, world, epoch):
    ranks = [homogeneous(tasks, size, epoch=epoch, rank=rank, world=world) for rank in range(world)]
    for step in range(len(ranks[0])):
        assert len({tasks[number] for rank in ranks for number in rank[step]}) == 1
        assert all(rank[step].shape == (size,) for rank in ranks)
    used = [number for rank in ranks for number in joined(rank)]
    assert len(used) == len(set(used))
    lost = Counter(tasks) - Counter(tasks[number] for number in used)
    assert dict(lost) == ranks[0].dropped
    assert all(count < size * world for count in lost.values())


def test_the_seed_and_the_epoch_decide():
    tasks = np.repeat([4, 2], 500)
    first = joined(homogeneous(tasks, 8, seed=1))
    assert first == joined(homogeneous(tasks, 8, seed=1))
    assert first != joined(homogeneous(tasks, 8, seed=1, epoch=1))
    assert first != joined(homogeneous(tasks, 8, seed=2))


def test_records_and_batches_are_shuffled():
    """Neighbours in the file are rarely neighbours in a batch, and tasks alternate."""
    tasks = np.repeat([0, 1], 4000)
    batches = list(homogeneous(tasks, 8))
    steps = np.abs(np.diff(np.array(batches), axis=1))
    assert (steps == 1).mean() < 0.01
    turns = np.diff([tasks[batch[0]] for batch in batches]) != 0
    assert 0.4 < turns.mean() < 0.6


def test_scratch_file_and_memory_give_the_same(monkeypatch):
    tasks = np.random.default_rng(0).integers(0, 9, 5000)
    expected = [joined(homogeneous(tasks, 16)), joined(original_windows(np.sort(tasks), 16))]
    monkeypatch.setattr(module, "_CHUNK", 700)
    assert [joined(homogeneous(tasks, 16)), joined(original_windows(np.sort(tasks), 16))] == expected
    assert isinstance(homogeneous(tasks, 16)._order, np.memmap)


def test_original_order(reference):
    """The orders that the original's train.py gave."""
    oracle = json.loads((reference / "oracle" / "train_oracle.json").read_text(encoding="utf-8"))
    for case in oracle["batching"]:
        tasks, size = case["task_ids"], case["batch_size"]
        batches = original_windows(tasks, size, seed=case["seed"])
        assert joined(batches) == case["order"]
        assert -(-len(tasks) // size) - len(batches) == case["skipped_windows"]


def test_original_order_by_hand():
    """Windows 0-1, 2-3 and 6-7 hold one task; 4-5 mixes two, 8 is short; seed 42 puts them in this order."""
    batches = original_windows([1, 1, 1, 1, 1, 2, 2, 2, 2], 2)
    assert sorted(map(list, batches)) == [[0, 1], [2, 3], [6, 7]]
    assert batches.dropped == {1: 1, 2: 2}
    order = joined(batches)
    assert joined(original_windows([1, 1, 1, 1, 1, 2, 2, 2, 2], 2, max_examples=5)) == order[:4]
    assert sum(original_windows([1, 1, 1, 1, 1, 2, 2, 2, 2], 2, max_examples=5).dropped.values()) == 5


@given(TASKS, st.integers(1, 5), st.integers(1, 3))
def test_original_windows_on_ranks(tasks, size, world):
    single = [list(batch) for batch in original_windows(tasks, size * world)]
    shares = [original_windows(tasks, size, rank=rank, world=world) for rank in range(world)]
    assert [[number for share in shares for number in share[step]] for step in range(len(single))] == single


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(size=0), "size must be an integer of at least 1, got 0"),
        (dict(size=1.5), "size must be an integer of at least 1, got 1.5"),
        (dict(size=1, world=0), "world must be an integer of at least 1"),
        (dict(size=1, rank=2, world=2), "rank must be from 0 to world - 1 = 1, got 2"),
    ],
)
def test_wrong_numbers_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        homogeneous([1, 1], **arguments)


def test_wrong_tasks_are_refused():
    with pytest.raises(InputError, match=r"tasks must be integers of shape \(n,\), got float64"):
        homogeneous([0.5, 1.5], 1)
    with pytest.raises(InputError, match="less than one batch of 4"):
        original_windows([1] * 9, 4, max_examples=3)
