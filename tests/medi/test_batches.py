"""The original's batches: of one task each, in its order, the same for all ranks."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor_embedding import InputError
from instructor_embedding.medi import batches as module
from instructor_embedding.medi.batches import original_windows

TASKS = st.lists(st.integers(-3, 5), max_size=200)


def joined(batches):
    return np.concatenate([*batches, np.empty(0, np.int64)]).astype(int).tolist()


def test_long_files_are_read_in_chunks(monkeypatch):
    tasks = np.sort(np.random.default_rng(0).integers(0, 9, 5000))
    expected = joined(original_windows(tasks, 16))
    monkeypatch.setattr(module, "_CHUNK", 700)
    assert joined(original_windows(tasks, 16)) == expected


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
        original_windows([1, 1], **arguments)


def test_wrong_tasks_are_refused():
    with pytest.raises(InputError, match=r"tasks must be integers of shape \(n,\), got float64"):
        original_windows([0.5, 1.5], 1)
    with pytest.raises(InputError, match="less than one batch of 4"):
        original_windows([1] * 9, 4, max_examples=3)
