"""What has to work without torch; with ``--folders``, by `tests.without_torch`, where torch cannot be imported."""

import importlib
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

import instructor_embedding
from instructor_embedding import Encoder, MissingExtraError
from instructor_embedding.engine import native_library
from tests.golden import KINDS

pytestmark = pytest.mark.skipif(not native_library.kernels(), reason="the compiled engine is not here")


@pytest.fixture(scope="session")
def without_torch(request):
    if not request.config.getoption("--folders"):
        pytest.skip("torch is here: python -m tests.without_torch runs this")


@pytest.fixture(scope="session")
def vectors(request, folders, inputs):
    """The vectors of `INSTRUCTOR` by kind and precision, computed by a process that has torch."""
    if prepared := request.config.getoption("--folders"):
        with np.load(prepared / "vectors.npz") as file:
            return dict(file)
    from instructor_embedding import INSTRUCTOR

    return {
        f"{kind}/{precision}": INSTRUCTOR(folders[kind], device="cpu", precision=precision).encode(
            inputs["pairs"], truncate="quiet"
        )
        for kind in KINDS
        for precision in ("exact", "int8")
    }


@pytest.mark.parametrize("precision", ["exact", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_equal_bit_for_bit(kind, precision, folders, vectors, golden, inputs):
    computed = Encoder(folders[kind], precision).encode(inputs["pairs"], truncate="quiet")
    np.testing.assert_array_equal(computed, vectors[f"{kind}/{precision}"])
    if precision == "exact":
        assert np.abs(computed - golden[f"{kind}/vectors"]).max() <= 1e-6


def test_the_bundled_model():
    encoder = Encoder()
    vectors = encoder.encode(["rye bread", "walnut rolls", "court of law"], instruction="Represent the sentence: ")
    cosines = encoder.similarity(vectors, vectors)
    assert cosines[0, 1] > cosines[0, 2]


def test_commands(folders, cli, tmp_path):
    done = cli("encode", "-i", "Represent it: ", "-m", folders["relu"], stdin="rye bread\nplum cake\n")
    rows = [json.loads(line)["embedding"] for line in done.out.splitlines()]
    expected = Encoder(folders["relu"]).encode(["rye bread", "plum cake"], instruction="Represent it: ")
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert cli("similarity", "rye", "plum", "-m", folders["relu"]).code == 0
    assert json.loads(cli("info", folders["gated"], "--json").out)["dimensions"] == 48
    for arguments in (["--help"], ["bench", "--help"], ["train", "--help"]):
        assert cli(*arguments).code == 0


def test_what_needs_torch_names_the_command_that_brings_it(without_torch, folders, cli):
    line = 'pip install "instructor-embed[torch]"'
    for name in ("INSTRUCTOR", "Workers", "export", "quantize"):
        with pytest.raises(MissingExtraError) as error:
            getattr(instructor_embedding, name)
        assert line in str(error.value)
    with pytest.raises(MissingExtraError) as error:
        importlib.import_module("InstructorEmbedding").INSTRUCTOR  # noqa: B018
    assert line in str(error.value)
    for arguments in (["bench", folders["relu"]], ["encode", "-m", folders["relu"], "--dtype", "bfloat16"]):
        done = cli(*arguments, stdin="a text\n")
        assert (done.code, line in done.err) == (1, True), done.err


def test_torch_is_really_not_here(without_torch):
    assert importlib.util.find_spec("torch") is None
    assert not [name for name in sys.modules if name.startswith("torch.")]


@pytest.mark.slow
def test_the_suite_without_torch():
    """The files that need no torch, in a process where its import fails: some ten seconds."""
    done = subprocess.run([sys.executable, "-m", "tests.without_torch"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
