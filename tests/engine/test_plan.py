import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from instructor_embedding.engine.plan import plan

LENGTHS = st.lists(st.integers(1, 600), max_size=200).map(lambda sizes: np.array(sizes, np.int32))


@given(lengths=LENGTHS, budget=st.integers(1, 2000))
def test_every_text_once_and_within_the_budget(lengths, budget):
    batches = plan(lengths, budget)
    assert sorted(np.concatenate(batches).tolist() if batches else []) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or lengths[batch].sum() <= budget


@given(lengths=LENGTHS, budget=st.integers(1, 2000))
def test_longest_first_and_neighbors_alike(lengths, budget):
    batches = plan(lengths, budget)
    flat = [int(length) for batch in batches for length in lengths[batch]]
    assert flat == sorted(flat, reverse=True)


def test_no_batch_could_take_the_next_text():
    lengths = np.array([5, 5, 5, 5, 5], np.int32)
    assert [len(batch) for batch in plan(lengths, 10)] == [2, 2, 1]
