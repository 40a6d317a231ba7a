"""Several processes: the same vectors in the same order, and errors that say what happened."""

import os
import signal
from multiprocessing import connection

import numpy as np
import pytest

from instructor_embedding import InputError, Pair, VectorError, WorkerError, Workers
from instructor_embedding.model.tokens import TextTokenizer
from tests.golden.make_checkpoints import tokenizer

PAIRS = [Pair("Represent the text:", f"Text number {number}, " + "word " * (number % 7)) for number in range(60)]


class Fatal:
    """A fake model whose process is killed."""

    tokens = TextTokenizer(tokenizer())

    def to(self, device):
        return self

    def eval(self):
        os.kill(os.getpid(), signal.SIGKILL)


def test_same_vectors_in_order(models):
    with Workers(models["relu"], ["cpu", "cpu"]) as workers:
        chunks = list(workers.encode(iter(PAIRS), chunk=7))
        assert [len(chunk) for chunk in chunks] == [7] * 8 + [4]
        np.testing.assert_allclose(np.concatenate(chunks), models["relu"].encode(PAIRS), atol=1e-6)
        assert list(workers.encode([])) == []


def test_an_error_keeps_its_traceback(model):
    model.head.dense[0].linear.weight.data.zero_()
    with Workers(model, ["cpu"]) as workers, pytest.raises(VectorError, match="zero vector") as caught:
        list(workers.encode(PAIRS))
    assert "in _encode" in str(caught.value.__cause__)


@pytest.mark.filterwarnings("ignore")
def test_a_dead_worker_is_an_error():
    with Workers(Fatal(), ["cpu"]) as workers, pytest.raises(WorkerError, match="died before its work was done"):
        list(workers.encode(PAIRS))


def test_stopping_early_ends_the_processes(models):
    with Workers(models["relu"], ["cpu"]) as workers:
        next(iter(workers.encode(PAIRS, chunk=2)))
        ends = [process.sentinel for process in workers._pool._processes.values()]
    assert connection.wait(ends, 10) == ends


@pytest.mark.parametrize("devices", [[], "cpu", None])
def test_devices_in_words(devices, models):
    with pytest.raises(InputError, match="devices must be a list"):
        Workers(models["relu"], devices)
    with pytest.raises(InputError, match=r"not available|unknown"):
        Workers(models["relu"], ["cuda:99"])
