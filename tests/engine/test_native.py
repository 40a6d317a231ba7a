"""The compiled engine against the modules: shapes that fill no panel, every activation, threads, and its absence."""

import copy
import dataclasses
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, Encoder, quantize
from instructor_embedding.engine import native_library, runtime
from instructor_embedding.engine.backends import onednn
from instructor_embedding.engine.backends.eager import EagerBackend
from instructor_embedding.engine.backends.native import NativeBackend
from instructor_embedding.engine.backends.onednn import OneDNNBackend
from instructor_embedding.engine.native import build
from instructor_embedding.engine.native_encoder import ScratchMemory
from instructor_embedding.engine.torch_weights import weights_of
from instructor_embedding.errors import CheckpointError, InputError
from instructor_embedding.model.config import T5Config
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.pooling import Dense, Head
from instructor_embedding.model.scratch import fill
from instructor_embedding.model.t5 import T5Encoder
from tests.native import compiled
from tests.native.compiled import NAMES, RUNNING

ROOT = Path(__file__).parent.parent.parent
KIND = {"exact": native_library.FLOAT32, "fast": native_library.BFLOAT16, "int8": native_library.INT8}
LEAST = {"exact": 1 - 1e-6, "fast": 0.9995, "int8": 0.995}  # cosine, tiny models
WORDS = 50
IDENTITY = "torch.nn.modules.linear.Identity"

built = pytest.mark.skipif(not native_library.kernels(), reason="the compiled engine is not here")


@pytest.fixture(params=NAMES)
def kernels(request, monkeypatch):
    """Every set of kernels: as this CPU runs it, or with the instructions that it lacks emulated."""
    libraries = compiled.kernels(request.param)
    if request.param not in [library.name for library in libraries]:
        pytest.skip(f"{request.param} cannot run here")
    monkeypatch.setattr(native_library, "_available", lambda: libraries)
    return request.param


@pytest.fixture(autouse=True)
def threads():
    """Restore the number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def scratch(d_model=64, d_kv=16, d_ff=128, layers=2, heads=4, dimension=48, activation="relu", gated=False):
    """Return an encoder and a head with random weights."""
    config = T5Config(WORDS, d_model, d_kv, d_ff, layers, heads, activation, gated)
    encoder, random = T5Encoder(config), np.random.RandomState(5)
    dense = [Dense(d_model, dimension, False, IDENTITY)] if dimension else []
    for module in (encoder, *dense):
        fill(module, random)
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if name.endswith("norm.weight"):
                weight.add_(torch.from_numpy(random.standard_normal(weight.shape)).float() / 10)
    return encoder.eval(), Head(dense, normalize=True).eval()


def packed(*lengths):
    """Return texts of random tokens; each leaves out a third."""
    random = np.random.RandomState(len(lengths))
    return Packed.of([random.randint(0, WORDS, size).tolist() for size in lengths], [size // 3 for size in lengths])


def need(precision, kernels=None):
    if not native_library.supports(KIND[precision], kernels):
        pytest.skip(f"{kernels or 'this CPU'} has no {precision} matmuls")


def native_backend(encoder, head, precision="exact", kernels=None):
    return NativeBackend(weights_of(Embedder(encoder, head, None)), precision, torch.get_num_threads, kernels)


def eager_backend(encoder, head):
    return EagerBackend(Embedder(encoder, head, None))


def is_compiled(encoder, precision):
    return runtime.compiled(Embedder(encoder, Head([], normalize=True), None), precision) is not None


def onednn_backend(encoder, head, precision="exact"):
    return OneDNNBackend(Embedder(encoder, head, None), precision)


def compare(encoder, head, batch, precision, kernels=None):
    vectors = native_backend(encoder, head, precision, kernels).run(batch)
    expected = eager_backend(encoder, head).run(batch)
    if precision == "exact":
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
    else:
        assert np.abs(vectors - expected).max() > 1e-6  # it did compute otherwise
        least = LEAST[precision]
        try:  # rounding may cost torch's operators more than that
            other = onednn_backend(encoder, head, precision).run(batch)
            least = min(least, 1 - 2 * (1 - (other * expected).sum(1).min()))
        except RuntimeError:  # they need the CPU's own bfloat16
            least = min(least, 0.99)
        assert (vectors * expected).sum(1).min() > least
    return vectors


@built
@pytest.mark.parametrize("precision", KIND)
@pytest.mark.parametrize("gated", [False, True])
def test_what_memory_held_before_does_not_matter(kernels, precision, gated, monkeypatch):
    """Scratch memory may hold anything, such as NaN."""
    need(precision, kernels)
    monkeypatch.setattr(ScratchMemory, "of", lambda _, size: nullcontext(np.full(size, 255, np.uint8)))
    encoder, head = scratch(d_model=33, d_kv=6, d_ff=45, heads=5, dimension=7, gated=gated)
    compare(encoder, head, packed(1, 5, 18, 40), precision, kernels)


@built
@pytest.mark.parametrize("precision", KIND)
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"d_model": 72, "d_kv": 10, "d_ff": 100, "heads": 3, "dimension": 33},
        {"d_model": 33, "d_kv": 6, "d_ff": 45, "heads": 5, "dimension": 7, "layers": 1},
        {"d_kv": 64, "heads": 2, "d_ff": 1100, "layers": 3},
        {"d_kv": 128, "heads": 1, "dimension": 0},
        {"gated": True, "activation": "gelu_new", "d_ff": 100},
        {"gated": True, "activation": "silu"},
        {"gated": True, "activation": "gelu", "d_model": 40, "d_ff": 57},
        {"activation": "gelu_new"},
    ],
    ids=str,
)
def test_equals_the_modules(kernels, shape, precision):
    need(precision, kernels)
    encoder, head = scratch(**shape)
    compare(encoder, head, packed(1, 2, 40, 17, 16, 15, 33, 31, 7), precision, kernels)


@built
@pytest.mark.parametrize("precision", KIND)
@pytest.mark.parametrize("lengths", [(1,), (2,), (700, 1), (2000,), (5,) * 300, tuple(range(1, 60))], ids=len)
def test_any_lengths_on_any_number_of_threads(kernels, lengths, precision):
    need(precision, kernels)
    if kernels not in RUNNING and sum(lengths) > 200:
        pytest.skip("emulated, this would take minutes")
    encoder, head = scratch()
    batch = packed(*lengths)
    torch.set_num_threads(1)
    alone = compare(encoder, head, batch, precision, kernels)
    engine = native_backend(encoder, head, precision, kernels)
    for count in (2, 3, 16):
        torch.set_num_threads(count)
        np.testing.assert_allclose(engine.run(batch), alone, atol=1e-6)


@built
@pytest.mark.parametrize("precision", KIND)
def test_a_vector_depends_on_its_text_alone(kernels, precision):
    need(precision, kernels)
    if kernels not in RUNNING:
        pytest.skip("emulated, this would take minutes")
    encoder, head = scratch()
    engine, batch = native_backend(encoder, head, precision, kernels), packed(*range(1, 80))
    together = engine.run(batch)
    order = np.random.RandomState(0).permutation(len(batch))
    np.testing.assert_allclose(engine.run(batch.take(order)), together[order], atol=1e-6)
    alone = np.concatenate([engine.run(batch.take(np.array([text]))) for text in range(len(batch))])
    np.testing.assert_allclose(alone, together, atol=1e-6)


@built
@pytest.mark.parametrize(("weights", "embedding"), [("int8", None), ("int4", None), ("int8", "int4")])
def test_weights_in_few_bits(kernels, weights, embedding, models, inputs):
    model = quantize(models["gated"], weights, embedding=embedding)
    batch = model.tokens.pack(inputs["pairs"])
    if kernels not in RUNNING:  # emulated, a long text would take seconds
        batch = batch.take(np.flatnonzero(batch.lengths <= 40))
    exact = onednn_backend(model.encoder, model.head, "exact").run(batch)
    for precision, tolerance in (("exact", 1e-6), ("int8", 0.02)):
        need(precision, kernels)
        vectors = native_backend(model.encoder, model.head, precision, kernels).run(batch)
        np.testing.assert_allclose(vectors, exact, atol=tolerance)


@built
def test_a_model_in_bfloat16(folders, inputs):
    need("fast")
    model = INSTRUCTOR(folders["relu"], device="cpu", dtype="bfloat16")
    batch = model.tokens.pack(inputs["pairs"])
    assert isinstance(model.backend, NativeBackend)
    expected = onednn_backend(model.encoder, model.head).run(batch)
    assert (model.backend.run(batch) * expected).sum(1).min() > 0.9995


@built
def test_heads_that_are_more_than_products(models, inputs):
    encoder = models["relu"].encoder
    dense = Dense(64, 32, True, "torch.nn.modules.activation.Tanh")
    fill(dense, np.random.RandomState(1))
    head = Head([dense], normalize=False)
    batch = models["relu"].tokens.pack(inputs["pairs"])
    np.testing.assert_allclose(
        native_backend(encoder, head).run(batch), eager_backend(encoder, head).run(batch), atol=2e-6
    )


@built
def test_a_changed_head_is_seen(model):
    before = model.encode(["A text."])
    model.head.dense[0].linear.weight.data.mul_(torch.linspace(0.5, 1.5, 48)[:, None])
    assert np.abs(model.encode(["A text."]) - before).max() > 1e-4


@built
@pytest.mark.parametrize("precision", KIND)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(precision, value):
    """They would vanish in a relu or in the rounding to 8 bits."""
    need(precision)
    encoder, head = scratch()
    encoder.blocks[1].feed_forward.wo.weight.data[3, 5] = value
    with pytest.raises(
        CheckpointError, match=r"blocks\.1\.feed_forward\.wo\.weight has a value that is infinite or not a number"
    ):
        native_backend(encoder, head, precision)


@built
def test_a_token_outside_the_table():
    encoder, head = scratch()
    with pytest.raises(IndexError, match=f"3 to {WORDS} are outside the table of {WORDS}"):
        native_backend(encoder, head).run(Packed.of([[3, WORDS]], [0]))


@built
def test_many_callers_at_once():
    torch.set_num_threads(2)
    encoder, head = scratch()
    engine, batches = native_backend(encoder, head), [packed(*range(1, 10 + number)) for number in range(40)]
    expected = [engine.run(batch) for batch in batches]
    with ThreadPoolExecutor(8) as callers:
        for vectors, reference in zip(callers.map(engine.run, batches), expected, strict=True):
            np.testing.assert_allclose(vectors, reference, atol=1e-6)


@built
def test_in_a_forked_process():
    """Threads do not live on in a fork; it makes its own."""
    code = """
import os, sys, torch
sys.path.insert(0, sys.argv[1])
from tests.engine.test_native import native_backend, packed, scratch
torch.set_num_threads(2)
engine, batch = native_backend(*scratch()), packed(20, 30)
before = engine.run(batch)
child = os.fork()
if not child:
    os._exit(0 if abs(engine.run(batch) - before).max() < 1e-6 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(ROOT)], check=True, timeout=600)  # busy machines


def test_without_the_compiled_part(folders, monkeypatch, tmp_path):
    monkeypatch.setattr(native_library, "FILE", tmp_path / "engine.so")
    native_library._available.cache_clear()
    try:
        assert isinstance(INSTRUCTOR(folders["relu"], device="cpu").backend, OneDNNBackend)
    finally:
        native_library._available.cache_clear()


@built
def test_without_instructions_for_a_precision(folders, monkeypatch):
    """Torch decides there whether it can; the compiled engine is never entered."""
    plain = [dataclasses.replace(library, kinds=("float32",)) for library in native_library._available()]
    monkeypatch.setattr(native_library, "_available", lambda: plain)
    encoder = INSTRUCTOR(folders["relu"], device="cpu").encoder
    assert is_compiled(encoder, "exact")
    assert not is_compiled(encoder, "int8")
    assert not is_compiled(encoder, "fast")
    with pytest.raises(InputError, match="do not compute in this kind"):
        native_backend(encoder, Head([], normalize=True), "int8")
    monkeypatch.setattr(onednn, "bfloat16_is_native", lambda: False)
    with pytest.raises(InputError, match="needs a CPU that computes in bfloat16"):
        INSTRUCTOR(folders["relu"], device="cpu", precision="fast")


@built
@pytest.mark.parametrize("name", ["neon_bf16", pytest.param("avx512_bf16", marks=pytest.mark.slow)])
def test_bfloat16_where_only_the_compiled_engine_has_it(name, folders, golden, inputs, monkeypatch):
    """As on ARM: oneDNN reports no bfloat16, the compiled kernels compute in it."""
    libraries = [library for library in compiled.kernels(name) if library.name == name]
    if not libraries:
        pytest.skip(f"{name} cannot run here")
    monkeypatch.setattr(native_library, "_available", lambda: libraries)
    monkeypatch.setattr(onednn, "bfloat16_is_native", lambda: False)
    pairs, vectors = inputs["pairs"][:4], golden["relu/vectors"][:4]
    model = INSTRUCTOR(folders["relu"], device="cpu", precision="fast")
    assert (model.backend.precision, model.backend.kernels) == ("fast", name)
    computed = model.encode(pairs, truncate="quiet")
    assert LEAST["fast"] < (computed * vectors).sum(1).min() < 1 - 1e-7
    np.testing.assert_array_equal(computed, Encoder(folders["relu"], "fast").encode(pairs, truncate="quiet"))


@built
def test_kernels_by_name():
    names = list(native_library.kernels())
    assert names[-1] == "plain"
    assert native_library.library().name == names[0]
    assert native_library.library("plain").tile == (4, 8)
    with pytest.raises(InputError, match=r"kernels='avx3' is unknown; did you mean 'avx2'\?|kernels='avx3'"):
        native_library.library("avx3")


@built
def test_cpus_with_tiles_keep_to_torch(models, monkeypatch):
    """AMX multiplies several times faster than the vector instructions that the compiled engine uses."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_int8": True, "amx_bf16": True})
    encoder = models["relu"].encoder
    assert is_compiled(encoder, "exact")
    assert not is_compiled(encoder, "fast")
    assert not is_compiled(encoder, "int8")


@built
def test_hooks_and_other_tables_go_to_torch(models):
    encoder = copy.deepcopy(models["relu"].encoder)
    assert is_compiled(encoder, "exact")
    encoder.embedding.register_forward_hook(lambda *_: None)
    assert not is_compiled(encoder, "exact")


def stale(folder, marker="int32_t kind, attention;"):
    """Compile a copy of the sources in which struct model has one field more, and put the right header back."""
    for source in (*build.FOLDER.glob("*.[ch]"), *build.FOLDER.glob("*.inc")):
        shutil.copy(source, folder)
    header = folder / "engine.h"
    right = header.read_text(encoding="utf-8")
    header.write_text(right.replace(marker, f"int32_t added; {marker}"), encoding="utf-8")
    assert header.read_text(encoding="utf-8") != right
    assert not build.compile_library(folder)
    header.write_text(right, encoding="utf-8")


@pytest.mark.skipif(not native_library.kernels(), reason="there is no compiled engine here")
@pytest.mark.parametrize("sources", [True, False])
def test_a_stale_library_is_compiled_again_or_left_out(sources, tmp_path, monkeypatch, caplog):
    stale(tmp_path)
    if not sources:
        (tmp_path / "engine.h").unlink()
    monkeypatch.setattr(native_library, "FILE", tmp_path / build.LIBRARY)
    assert bool(native_library._available.__wrapped__()) == sources
    (record, *others) = caplog.records
    assert not others or not sources
    assert str(tmp_path) in record.message
    assert ("compiled again" if sources else "left out") in record.message


def test_a_library_of_the_first_interface_is_left_out(tmp_path, monkeypatch, caplog):
    """It has no handshake at all."""
    source = tmp_path / "old.c"
    source.write_text("int features(void) { return 7; }\n", encoding="utf-8")
    if os.name == "nt" or not shutil.which("cc"):
        pytest.skip("there is no compiler here")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / build.LIBRARY, source], check=True)
    monkeypatch.setattr(native_library, "FILE", tmp_path / build.LIBRARY)
    assert native_library._available.__wrapped__() == ()
    assert "no engine_abi" in caplog.text


def test_a_build_without_a_compiler_says_so(tmp_path):
    (tmp_path / build.LIBRARY).write_bytes(b"of an older build")
    assert build.compile_library(tmp_path, "no-such-compiler") == "there is no C compiler 'no-such-compiler'"
    assert not (tmp_path / build.LIBRARY).exists()


def test_a_compiler_that_fails_says_why(tmp_path):
    (tmp_path / "broken.c").write_text("int broken(void) { return 1 +; }\n", encoding="utf-8")
    problem = build.compile_library(tmp_path)
    assert "failed" in problem or "there is no C compiler" in problem or "no sources" in problem
    assert not (tmp_path / build.LIBRARY).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["broken.c"]
