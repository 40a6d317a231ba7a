"""Exact to the original: ids and masks equal, vectors within 1e-6 (see golden/make_golden.py)."""

import json
import subprocess
import sys

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, Pair
from tests.golden.make_checkpoints import KINDS

TOLERANCE = 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_masks(kind, models, golden, inputs):
    batch = models[kind].tokens.pack(inputs["pairs"])
    np.testing.assert_array_equal(batch.lengths, golden[f"{kind}/lengths"])
    np.testing.assert_array_equal(batch.ids, golden[f"{kind}/ids"])
    index = np.arange(len(batch.ids)) - np.repeat(batch.starts[:-1], batch.lengths)
    np.testing.assert_array_equal(index >= np.repeat(batch.skip, batch.lengths), golden[f"{kind}/mask"])
    np.testing.assert_array_equal(models[kind].tokens.context(inputs["pairs"]), golden[f"{kind}/context"])


@pytest.mark.parametrize("kind", KINDS)
def test_vectors(kind, models, golden, inputs):
    model = models[kind]
    assert np.abs(model.encode(inputs["pairs"], truncate="quiet") - golden[f"{kind}/vectors"]).max() <= TOLERANCE
    assert np.abs(model.encode(inputs["texts"]) - golden[f"{kind}/texts"]).max() <= TOLERANCE
    states = model.encode(inputs["pairs"], output_value="token_embeddings")
    means = np.stack([rows.numpy().mean(0) for rows in states])
    np.testing.assert_allclose(means, golden[f"{kind}/states"], atol=5e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_shorter_limit(kind, folders, golden, inputs):
    model = INSTRUCTOR(folders[kind], device="cpu")
    model.max_seq_length = 24
    assert np.abs(model.encode(inputs["pairs"], truncate="quiet") - golden[f"{kind}/short"]).max() <= TOLERANCE


@pytest.mark.parametrize(("shape", "layout"), [("tiny-relu", "bin"), ("tiny-gated", "safetensors")])
def test_oracle(shape, layout, reference, tmp_path):
    """The reference vectors with the real T5 tokenizer, where they are at hand."""
    script = reference / "make_checkpoint.py"
    command = [sys.executable, str(script), str(tmp_path / "model"), "--shape", shape, "--format", layout]
    subprocess.run(command, check=True, capture_output=True)
    model = INSTRUCTOR(tmp_path / "model", device="cpu")
    rows = json.loads((reference / "oracle" / "inputs.json").read_text(encoding="utf-8"))["pairs"]
    pairs = [Pair(row["instruction"], row["text"]) for row in rows]
    with np.load(reference / "oracle" / f"oracle_v101_{shape}.npz") as file:
        oracle = dict(file)
    batch = model.tokens.pack(pairs)
    np.testing.assert_array_equal(batch.ids, oracle["input_ids"])
    np.testing.assert_array_equal(batch.lengths, oracle["n_tokens"])
    np.testing.assert_array_equal(model.tokens.context(pairs), oracle["context_masks"])
    index = np.arange(len(batch.ids)) - np.repeat(batch.starts[:-1], batch.lengths)
    np.testing.assert_array_equal(index >= np.repeat(batch.skip, batch.lengths), oracle["pool_mask"])
    for batch_size, name in ((32, "sentence_embedding"), (1, "sentence_embedding_bs1")):
        vectors = model.encode(pairs, batch_size=batch_size, truncate="quiet")
        assert np.abs(vectors - oracle[name]).max() <= TOLERANCE
    plain = model.encode([pair.instruction + pair.text for pair in pairs], truncate="quiet")
    assert np.abs(plain - oracle["plain_concat"]).max() <= TOLERANCE
