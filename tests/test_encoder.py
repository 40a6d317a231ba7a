"""Encoding without torch: the same vectors, bit for bit, from every folder, and nothing of torch imported."""

import subprocess
import sys

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, Encoder, InputError, MissingExtraError, TruncationError, quantize
from instructor_embedding.engine import native_library
from instructor_embedding.engine.backends.native import NativeBackend
from tests.model import folders as layouts

pytestmark = pytest.mark.skipif(not native_library.kernels(), reason="the compiled engine is not here")

PAIRS = [["Represent the title: ", "rye bread"], ["", "a plum cake on Sundays"], ["Represent it now: ", "x"]]
KINDS = ("relu", "gated", "wide")


def both(folder, precision=None):
    model = INSTRUCTOR(folder, device="cpu", precision=precision)
    assert isinstance(model.backend, NativeBackend)
    return Encoder(folder, precision=precision), model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [None, "int8"])
def test_vectors_are_those_of_instructor(kind, precision, folders, inputs):
    encoder, model = both(folders[kind], precision)
    expected = model.encode(inputs["pairs"], truncate="quiet")
    np.testing.assert_array_equal(encoder.encode(inputs["pairs"], truncate="quiet"), expected)
    assert (encoder.dimension, encoder.max_seq_length, encoder.precision) == (
        model.dimension,
        model.max_seq_length,
        model.precision,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_the_original(kind, folders, golden, inputs):
    vectors = Encoder(folders[kind]).encode(inputs["pairs"], truncate="quiet")
    assert np.abs(vectors - golden[f"{kind}/vectors"]).max() <= 1e-6


@pytest.mark.parametrize("change", layouts.LAYOUTS, ids=lambda change: change.__name__)
def test_layouts(change, folders, tmp_path, golden, inputs):
    folder = layouts.copied(folders["relu"], tmp_path / "model")
    change(folder)
    vectors = Encoder(folder).encode(inputs["pairs"], truncate="quiet")
    assert np.abs(vectors - golden["relu/vectors"]).max() <= 1e-6


@pytest.mark.parametrize("weights", ["int8", "int4", "float16", "bfloat16"])
@pytest.mark.parametrize("precision", [None, "exact"])
def test_smaller_weights(weights, precision, models, tmp_path, inputs):
    quantize(models["gated"], weights).save(tmp_path / "small")
    encoder, model = both(tmp_path / "small", precision)
    expected = model.encode(inputs["pairs"], truncate="quiet")
    np.testing.assert_array_equal(encoder.encode(inputs["pairs"], truncate="quiet"), expected)


def test_plain_t5_and_shards(folders, tmp_path):
    for number, change in enumerate((layouts.plain_t5, layouts.sharded)):
        folder = layouts.copied(folders["relu"], tmp_path / str(number))
        if change is layouts.sharded:
            layouts.as_safetensors(folder)
        change(folder)
        encoder, model = both(folder)
        np.testing.assert_array_equal(encoder.encode(PAIRS), model.encode(PAIRS))


def test_stream_counts_similarity_and_single_texts(folders, models):
    encoder, model = Encoder(folders["relu"]), models["relu"]
    vectors = encoder.encode(PAIRS)
    np.testing.assert_array_equal(np.stack(list(encoder.encode_stream(iter(PAIRS), window=2))), vectors)
    np.testing.assert_array_equal(encoder.count_tokens(PAIRS), model.count_tokens(PAIRS))
    np.testing.assert_allclose(encoder.similarity(vectors, vectors[:2]), vectors @ vectors[:2].T, atol=1e-6)
    assert encoder.similarity(vectors[0], vectors).shape == (1, 3)
    assert encoder.encode("rye bread").shape == (48,)
    assert encoder.encode([]).shape == (0, 48)
    encoder.default_instruction = "Represent the title: "
    np.testing.assert_array_equal(encoder.encode("rye bread"), vectors[0])


def test_one_thread_and_many_give_the_same(folders):
    vectors = [Encoder(folders["relu"], threads=threads).encode(PAIRS) for threads in (1, 2, 5)]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_refusals(folders, monkeypatch):
    for options, message in (
        ({"precision": "int9"}, "precision='int9' is unknown; did you mean 'int8'"),
        ({"threads": 0}, "threads must be an integer of at least 1, got 0"),
        ({"model": ""}, "model must be a folder or a hub id"),
    ):
        with pytest.raises(InputError, match=message):
            Encoder(**options)
    with pytest.raises(TypeError, match="'thread'; did you mean 'threads'"):
        Encoder(folders["relu"], thread=2)
    encoder = Encoder(folders["relu"])
    with pytest.raises(TypeError, match="'batchsize'; did you mean 'batch_size'"):
        encoder.encode(["a"], batchsize=3)
    with pytest.raises(TruncationError):
        encoder.encode(["word " * 3000], truncate="error")
    with pytest.raises(InputError, match="the first vectors have 48 dimensions, the second 3"):
        encoder.similarity(encoder.encode(PAIRS), np.ones((2, 3)))
    monkeypatch.setattr(native_library, "_available", lambda: ())
    with pytest.raises(MissingExtraError, match=r'pip install "instructor-embed\[torch\]"'):
        Encoder(folders["relu"])


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np
from instructor_embedding import Encoder, MissingExtraError
encoder = Encoder(sys.argv[1])
np.save(sys.argv[2], encoder.encode([["Represent the title: ", "rye bread"], "a plum cake"]))
for name in ("INSTRUCTOR", "Workers", "export", "quantize"):
    try:
        getattr(__import__("instructor_embedding"), name)
    except MissingExtraError as error:
        assert 'pip install "instructor-embed[torch]"' in str(error), error
    else:
        raise SystemExit(f"{name} was imported without torch")
try:
    from InstructorEmbedding import INSTRUCTOR
except MissingExtraError as error:
    print(error)
"""


def test_in_a_process_that_has_no_torch(folders, tmp_path):
    arguments = [sys.executable, "-c", WITHOUT_TORCH, str(folders["relu"]), str(tmp_path / "out.npy")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    expected = Encoder(folders["relu"]).encode([["Represent the title: ", "rye bread"], "a plum cake"])
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)
    assert done.stdout.count("\n") == 1
    assert 'pip install "instructor-embed[torch]"' in done.stdout
