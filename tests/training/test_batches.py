"""Batches: one task each, every record accounted for, tasks mixed in the shares that were requested."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("transformers")

from instructor_embedding import InputError
from instructor_embedding.training.arguments import parse
from instructor_embedding.training.batches import BatchOrder, EpochBatches, Mixing, weights_of
from instructor_embedding.training.data import read_data
from instructor_embedding.training.trainer import epoch_batches
from tests.training.test_forms import write

SIZES = [5, 12, 33, 40, 64, 77, 100, 128, 150, 200, 256, 300, 333, 400, 512, 640, 700, 900, 1200, 2000]
TASKS = np.repeat(np.arange(20), SIZES)
NAMES = [f"task{number}" for number in range(20)]


def taken(batches, epochs=1):
    """Indices of each batch of some epochs."""
    formed = []
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        formed += [[index for index, _ in batch] for batch in batches]
    return formed


@pytest.mark.parametrize("size", [1, 8, 32, 256])
def test_every_record_is_in_one_batch_of_its_task(size):
    formed = taken(EpochBatches(TASKS, BatchOrder("shuffled", size, seed=1)))
    used = np.concatenate(formed)
    assert len(used) == len(TASKS) == len(set(used.tolist()))
    assert all(len(set(TASKS[batch].tolist())) == 1 for batch in formed)
    assert max(map(len, formed)) <= size
    for task, count in enumerate(SIZES):  # batches of a task differ by one record at most
        sizes = [len(batch) for batch in formed if TASKS[batch[0]] == task]
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == -(-count // size)


def test_the_example_of_four_small_tasks_uses_every_task():
    """1,410 records of 4 tasks with batches of 256: all are used, and the counts are those of a recount."""
    tasks = np.repeat([0, 1, 2, 3], [700, 400, 210, 100])
    batches = EpochBatches(tasks, BatchOrder("shuffled", 256, seed=0))
    formed = taken(batches)
    assert sum(map(len, formed)) == 1410
    for task, counted in batches.used().items():
        mine = [batch for batch in formed if tasks[batch[0]] == task]
        assert counted.records == counted.used == counted.drawn == (tasks == task).sum() == sum(map(len, mine))
        assert (counted.smallest, counted.largest) == (min(map(len, mine)), max(map(len, mine)))


def asked_for(kind):
    counts = dict(zip(NAMES, SIZES, strict=True))
    mixing = {
        "size": Mixing(),
        "equal": Mixing("equal"),
        "temperature": Mixing("temperature", 3.0),
        "weights": Mixing("weights", weights=dict(zip(NAMES, range(1, 21), strict=True))),
    }[kind]
    expected = {
        "size": [size / sum(SIZES) for size in SIZES],
        "equal": [1 / 20] * 20,
        "temperature": [size ** (1 / 3) / sum(other ** (1 / 3) for other in SIZES) for size in SIZES],
        "weights": [number / 210 for number in range(1, 21)],
    }[kind]
    assert list(mixing.shares(counts).values()) == pytest.approx(expected)
    return mixing, expected


@pytest.mark.parametrize("kind", ["size", "equal", "temperature", "weights"])
@pytest.mark.parametrize("world", [1, 2])
def test_twenty_tasks_get_the_shares_that_were_requested(kind, world):
    mixing, expected = asked_for(kind)
    size = 16 // world
    ranks = [EpochBatches(TASKS, BatchOrder("shuffled", size, 0, r, world, None, mixing), NAMES) for r in range(world)]
    formed = [
        [index for batch in shares_of_ranks for index in batch]
        for shares_of_ranks in zip(*map(taken, ranks), strict=True)
    ]
    assert all(len(set(batch)) == len(batch) for batch in formed), "a batch holds a record twice"
    counts = np.bincount(TASKS[np.concatenate(formed)], minlength=20)
    assert counts / counts.sum() == pytest.approx(np.array(expected), rel=0.02, abs=0.0005 * world)
    # after a quarter of the epoch the shares are nearly those of all of it
    early = np.bincount(TASKS[np.concatenate(formed[: len(formed) // 4])], minlength=20)
    assert np.abs(early / early.sum() - expected).max() < 0.02
    drawn = {task: counted.drawn for task, counted in ranks[0].used().items()}
    assert drawn == dict(enumerate(counts.tolist()))


def test_twenty_mixed_files_get_the_shares_that_were_requested(tmp_path):
    """Pairs, hard negatives, scores and labels as csv, tsv, jsonl and json: every file has its share within 2 %."""
    weights = [1 + number % 5 for number in range(20)]
    for number in range(20):
        rows = [FORM[number % 4](number, row) for row in range(10 + 15 * number)]
        write(tmp_path / f"file{number}.{('csv', 'tsv', 'jsonl.gz', 'json')[number // 5]}", rows)
    line = ["--init", "tiny", "--output_dir", "x", "--train_file", tmp_path, "--per_device_train_batch_size", 8]
    line += ["--mixing", "weights", "--task_weights", *(f"file{n}={weight}" for n, weight in enumerate(weights))]
    settings = parse(list(map(str, line)))
    data = read_data(settings.data, seed=0)
    batches = epoch_batches(settings, data)
    names = [task.name for task in data.names]
    drawn = Counter(names[data.tasks[index]] for batch in batches for index, _ in batch)
    for number, weight in enumerate(weights):
        share = drawn[f"file{number}"] / drawn.total()
        assert share == pytest.approx(weight / sum(weights), rel=0.02)


FORM = (
    lambda file, row: {"query": f"query {file} {row}", "positive": f"text {file} {row}"},
    lambda file, row: {"anchor": f"a {file} {row}", "positive": f"p {file} {row}", "negative": f"n {file} {row}"},
    lambda file, row: {"text1": f"first {file} {row}", "text2": f"second {file} {row}", "score": row % 6},
    lambda file, row: {"text": f"text {file} {row}", "label": f"label {row % 3}"},
)


def test_large_tasks_go_through_all_records_before_any_comes_again():
    tasks = np.repeat([0, 1], [1000, 100])
    mixing = Mixing("weights", weights={"a": 1, "b": 3})
    batches = EpochBatches(tasks, BatchOrder("shuffled", 10, 0, mixing=mixing), ["a", "b"])
    seen = [np.concatenate([b for b in taken_of(batches, epoch) if tasks[b[0]] == 0]) for epoch in range(3)]
    assert len(set(np.concatenate(seen).tolist())) == 3 * 275


def taken_of(batches, epoch):
    batches.set_epoch(epoch)
    return [[index for index, _ in batch] for batch in batches]


def test_used_counts_several_epochs_and_a_part_of_one():
    batches = EpochBatches(TASKS, BatchOrder("shuffled", 32, 3))
    count = len(batches)
    formed = taken(batches, 3)[: 2 * count + count // 3]
    drawn = np.bincount(TASKS[np.concatenate(formed)], minlength=20)
    used = batches.used(len(formed))
    assert [counted.drawn for counted in used.values()] == drawn.tolist()
    assert [counted.used for counted in used.values()] == SIZES
    few = batches.used(5)
    assert sum(counted.used for counted in few.values()) == sum(map(len, taken_of(batches, 0)[:5]))


def test_ranks_share_each_batch():
    ranks = [taken(EpochBatches(TASKS, BatchOrder("shuffled", 8, 0, rank, 4))) for rank in range(4)]
    assert len({len(counted) for counted in ranks}) == 1
    for shares_of_ranks in zip(*ranks, strict=True):
        together = [index for batch in shares_of_ranks for index in batch]
        assert len({len(share) for share in shares_of_ranks}) == 1
        assert len(set(together)) == len(together)
        assert len(set(TASKS[together].tolist())) == 1


def test_fewer_examples_come_from_all_tasks():
    batches = EpochBatches(np.repeat([5, 6, 7], 100), BatchOrder("shuffled", 4, seed=1, max_examples=60))
    formed = taken(batches)
    used = [index for batch in formed for index in batch]
    assert len(set(used)) == len(used) == 60
    assert np.bincount(np.array(used) // 100).tolist() == [20, 20, 20]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (["task1=2"], "no weight for the task 'task0'; pass task0=0"),
        (["task*=1", "other=2"], "no task matches 'other'"),
        (["task*=0"], "leaves no task"),
        (["task1"], "'task1' must be task=weight"),
        (["=3"], "'=3' must be task=weight"),
        (["task1=-1"], "must be task=weight"),
        (["task1=nan"], "must be task=weight"),
    ],
)
def test_wrong_weights_are_reported(weights, message):
    with pytest.raises(InputError, match=message.replace("*", r"\*")):
        EpochBatches(TASKS, BatchOrder("shuffled", 8, 0, mixing=Mixing("weights", weights=weights_of(weights))), NAMES)


def test_a_weight_of_zero_leaves_a_task_out():
    mixing = Mixing("weights", weights={"task0": 0, "task*": 1})
    used = EpochBatches(TASKS, BatchOrder("shuffled", 8, 0, mixing=mixing), NAMES).used()
    assert used[0].drawn == 0
    assert all(counted.drawn for task, counted in used.items() if task)


def test_windows_of_the_original():
    tasks = np.repeat([0, 1], [10, 13])
    batches = EpochBatches(tasks, BatchOrder("original", 4, seed=42))
    formed = sorted(map(sorted, taken(batches)))
    assert formed == [[0, 1, 2, 3], [4, 5, 6, 7], [12, 13, 14, 15], [16, 17, 18, 19]]
    assert batches.used()[0].used == 8
    with pytest.raises(InputError, match="no task has as many in a row; lower per_device_train_batch_size"):
        EpochBatches(tasks, BatchOrder("original", 30, seed=42))
