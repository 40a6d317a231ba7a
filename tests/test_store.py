"""Vectors on disk: computed once, healed after a kill, those of one model."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from instructor_embedding import InputError, Pair
from instructor_embedding import store as module
from instructor_embedding.store import VectorStore

PAIRS = [Pair("i" * (number % 3), f"text {number}") for number in range(100)]
VECTORS = np.random.default_rng(0).standard_normal((100, 6)).astype(np.float32)
TABLE = dict(zip(PAIRS, VECTORS, strict=True))


def encode(pairs):
    return np.array([TABLE[pair] for pair in pairs])


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_each_pair_is_computed_once(tmp_path, on_disk, dtype):
    calls = []

    def counted(pairs):
        calls.append(len(pairs))
        return encode(pairs)

    folder = tmp_path / "a" / "b" if on_disk else None
    with VectorStore(folder, "m", dtype) as store:
        assert (len(store), store.dimension) == (0, 0)
        assert store.fill(PAIRS[:10] * 3, counted) == 10
        done = []
        assert store.fill(iter(PAIRS), counted, chunk=40, advance=done.append) == 90
        assert calls == [10, 40, 40, 10]
        assert sum(done) == 100
        np.testing.assert_allclose(store.get(PAIRS[::-3]), VECTORS[::-3], atol=2e-3 if dtype == "float16" else 0)
        assert store.vectors.shape == (100, 6)
        if on_disk:
            again = VectorStore(folder, "m", dtype)
            assert (len(again), again.dimension) == (100, 6)
            np.testing.assert_array_equal(again.get(PAIRS), store.get(PAIRS))
            assert VectorStore.about(folder) == {"fingerprint": "m", "dtype": dtype, "dimension": 6}


def test_many_keys(monkeypatch):
    monkeypatch.setattr(module, "_MERGE", 7)
    store = VectorStore(None, "m")
    for start in range(0, 100, 3):
        store.add(PAIRS[start : start + 3], VECTORS[start : start + 3])
    np.testing.assert_array_equal(store.get(PAIRS), VECTORS)
    assert not store.known([Pair("", "new"), Pair("itext", " 1")]).any()


def test_keys_that_share_their_first_half(monkeypatch):
    monkeypatch.setattr(module, "_MERGE", 1)
    index = module._Index(np.empty((0, 2), np.uint64))
    keys = np.array([[5, 1], [5, 2], [4, 9], [5, 3]], np.uint64)
    index.add(keys)
    assert index.find(keys).tolist() == [0, 1, 2, 3]
    assert index.find(np.array([[5, 4], [6, 1], [0, 0]], np.uint64)).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(("file", "lost"), [("vectors.bin", 5), ("keys.bin", 3), ("keys.bin", 16), ("vectors.bin", 24)])
def test_what_a_kill_left_incomplete_is_computed_again(tmp_path, file, lost):
    with VectorStore(tmp_path, "m") as store:
        store.add(PAIRS[:10], VECTORS[:10])
    os.truncate(tmp_path / file, (tmp_path / file).stat().st_size - lost)
    with VectorStore(tmp_path, "m") as store:
        assert len(store) == 9
        assert store.fill(PAIRS, encode) == 91
        np.testing.assert_array_equal(store.get(PAIRS), VECTORS)
    np.testing.assert_array_equal(VectorStore(tmp_path, "m").get(PAIRS), VECTORS)


def test_a_killed_process(tmp_path):
    code = (
        "import sys, numpy as np; from instructor_embedding import Pair; from instructor_embedding.store import *\n"
        "store = VectorStore(sys.argv[1], 'm')\n"
        "def encode(pairs): return np.array([[float(pair.text)] * 500 for pair in pairs])\n"
        "print('ready', flush=True)\n"
        "store.fill((Pair('', str(n)) for n in range(10**7)), encode, chunk=50)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    while process.poll() is None and not (tmp_path / "keys.bin").exists():
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store = VectorStore(tmp_path, "m")
    pairs = [Pair("", str(number)) for number in range(len(store))]
    assert pairs
    np.testing.assert_array_equal(store.get(pairs)[:, -1], np.arange(len(pairs)))


def test_other_models_are_refused(tmp_path):
    VectorStore(tmp_path, "m").add(PAIRS[:1], VECTORS[:1])
    for fingerprint, dtype in (("n", "float32"), ("m", "float16")):
        with pytest.raises(InputError, match="use another folder"):
            VectorStore(tmp_path, fingerprint, dtype)
    with pytest.raises(InputError, match="is not a store of vectors"):
        VectorStore.about(tmp_path / "no")
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        VectorStore(tmp_path, "m")


def test_wrong_vectors(tmp_path):
    store = VectorStore(tmp_path, "m", "float16")
    with pytest.raises(InputError, match=r"2 texts need vectors of shape \(2, d\), got \(3, 6\)"):
        store.add(PAIRS[:2], VECTORS[:3])
    with pytest.raises(InputError, match=r"'text 0' is not finite in float16"):
        store.add(PAIRS[:1], VECTORS[:1] * 1e6)
    store.add(PAIRS[:3], VECTORS[:3])
    with pytest.raises(InputError, match="holds vectors of 6 dimensions, not of 5"):
        store.add(PAIRS[3:4], VECTORS[3:4, :5])
    with pytest.raises(InputError, match="has no vector of 'text 3'; 97 are missing in all"):
        store.get(PAIRS)


def test_one_process_writes(tmp_path):
    pytest.importorskip("fcntl")
    with VectorStore(tmp_path, "m") as first:
        first.add(PAIRS[:2], VECTORS[:2])
        second = VectorStore(tmp_path, "m")
        assert len(second) == 2
        with pytest.raises(InputError, match="another process writes vectors"):
            second.add(PAIRS[2:], VECTORS[2:])
        first.add(PAIRS[2:5], VECTORS[2:5])
    with pytest.raises(InputError, match="open the store again"):
        second.add(PAIRS[2:], VECTORS[2:])
    assert VectorStore(tmp_path, "m").fill(PAIRS, encode) == 95


def test_memory_has_a_limit():
    store = VectorStore(None, "m", limit=10 * 24)
    assert store.add(PAIRS, VECTORS) == 10
    np.testing.assert_array_equal(store.get(PAIRS[:10]), VECTORS[:10])
    assert store.add(PAIRS, VECTORS) == 0


def test_about_is_json(tmp_path):
    VectorStore(tmp_path, "m")
    assert json.loads((tmp_path / "store.json").read_text())["dimension"] == 0
