"""The compiled engine against the modules: shapes that fill no panel, every activation, threads, and its absence."""

import copy
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, quantize
from instructor_embedding.engine import choice, native_cpu, native_library
from instructor_embedding.engine.native import build
from instructor_embedding.engine.native_cpu import NativeCPU
from instructor_embedding.engine.torch_backend import TorchBackend
from instructor_embedding.engine.torch_cpu import TorchCPU
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.pooling import Dense, Head
from instructor_embedding.model.scratch import fill
from instructor_embedding.model.t5 import T5Config, T5Encoder

ROOT = Path(__file__).parent.parent.parent
KIND = {"exact": native_library.FLOAT32, "fast": native_library.BFLOAT16, "int8": native_library.INT8}
LEAST = {"exact": 1 - 1e-6, "fast": 0.9995, "int8": 0.995}  # cosine, tiny models
WORDS = 50
IDENTITY = "torch.nn.modules.linear.Identity"

built = pytest.mark.skipif(not native_library.able(native_library.FLOAT32), reason="the compiled engine is not here")


@pytest.fixture(autouse=True)
def threads():
    """Leave the number of threads as it was."""
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


def need(precision):
    if not native_library.able(KIND[precision]):
        pytest.skip(f"this CPU has no {precision} products")


def compare(encoder, head, batch, precision):
    width = head.dense_layers()[-1].linear.out_features if len(head.dense) else encoder.config.d_model
    found = NativeCPU(encoder, head, width, precision).run(batch)
    expected = TorchBackend(encoder, head, width).run(batch)
    if precision == "exact":
        np.testing.assert_allclose(found, expected, atol=1e-6)
    else:
        assert np.abs(found - expected).max() > 1e-6  # it did compute otherwise
        other = TorchCPU(encoder, head, width, precision).run(batch)
        least = min(LEAST[precision], 1 - 2 * (1 - (other * expected).sum(1).min()))
        assert (found * expected).sum(1).min() > least
    return found


@built
@pytest.mark.parametrize("precision", KIND)
@pytest.mark.parametrize("gated", [False, True])
def test_what_memory_held_before_does_not_matter(precision, gated, monkeypatch):
    """Scratch memory may hold anything, such as numbers that are none."""
    need(precision)
    monkeypatch.setattr(NativeCPU, "_room", lambda _, size: torch.full((size,), 255, dtype=torch.uint8))
    encoder, head = scratch(d_model=33, d_kv=6, d_ff=45, heads=5, dimension=7, gated=gated)
    compare(encoder, head, packed(1, 5, 18, 40), precision)


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
def test_equals_the_modules(shape, precision):
    need(precision)
    encoder, head = scratch(**shape)
    compare(encoder, head, packed(1, 2, 40, 17, 16, 15, 33, 31, 7), precision)


@built
@pytest.mark.parametrize("precision", KIND)
@pytest.mark.parametrize("lengths", [(1,), (2,), (700, 1), (2000,), (5,) * 300, tuple(range(1, 60))], ids=len)
def test_any_lengths_on_any_number_of_threads(lengths, precision):
    need(precision)
    encoder, head = scratch()
    batch = packed(*lengths)
    torch.set_num_threads(1)
    alone = compare(encoder, head, batch, precision)
    engine = NativeCPU(encoder, head, 48, precision)
    for count in (2, 3, 16):
        torch.set_num_threads(count)
        np.testing.assert_allclose(engine.run(batch), alone, atol=1e-6)


@built
@pytest.mark.parametrize("precision", KIND)
def test_a_vector_depends_on_its_text_alone(precision):
    need(precision)
    encoder, head = scratch()
    engine, batch = NativeCPU(encoder, head, 48, precision), packed(*range(1, 80))
    whole = engine.run(batch)
    order = np.random.RandomState(0).permutation(len(batch))
    np.testing.assert_allclose(engine.run(batch.take(order)), whole[order], atol=1e-6)
    alone = np.concatenate([engine.run(batch.take(np.array([text]))) for text in range(len(batch))])
    np.testing.assert_allclose(alone, whole, atol=1e-6)


@built
@pytest.mark.parametrize(("weights", "embedding"), [("int8", None), ("int4", None), ("int8", "int4")])
def test_weights_in_few_bits(weights, embedding, models, inputs):
    model = quantize(models["gated"], weights, embedding=embedding)
    batch = model.tokens.pack(inputs["pairs"])
    for precision, tolerance in (("exact", 1e-6), ("int8", 0.02)):
        need(precision)
        expected = TorchCPU(model.encoder, model.head, 48, precision).run(batch)
        found = NativeCPU(model.encoder, model.head, 48, precision).run(batch)
        np.testing.assert_allclose(found, expected, atol=tolerance)


@built
def test_a_model_in_bfloat16(folders, inputs):
    need("fast")
    model = INSTRUCTOR(folders["relu"], device="cpu", dtype="bfloat16")
    batch = model.tokens.pack(inputs["pairs"])
    assert isinstance(model.backend, NativeCPU)
    expected = TorchCPU(model.encoder, model.head, 48).run(batch)
    assert (model.backend.run(batch) * expected).sum(1).min() > 0.9995


@built
def test_heads_that_are_more_than_products(models, inputs):
    encoder = models["relu"].encoder
    dense = Dense(64, 32, True, "torch.nn.modules.activation.Tanh")
    fill(dense, np.random.RandomState(1))
    head = Head([dense], normalize=False)
    batch = models["relu"].tokens.pack(inputs["pairs"])
    np.testing.assert_allclose(
        NativeCPU(encoder, head, 32).run(batch), TorchBackend(encoder, head, 32).run(batch), atol=1e-6
    )


@built
def test_a_changed_head_is_seen(model):
    before = model.encode(["A text."])
    model.head.dense[0].linear.weight.data.mul_(torch.linspace(0.5, 1.5, 48)[:, None])
    assert np.abs(model.encode(["A text."]) - before).max() > 1e-4


@built
def test_broken_weights_are_not_hidden(model):
    from instructor_embedding.errors import VectorError

    model.encoder.blocks[1].feed_forward.wo.weight.data[3] = float("nan")
    with pytest.raises(VectorError, match=r"sentences\[0\]"):
        model.encode(["A text."])


@built
def test_a_token_outside_the_table():
    encoder, head = scratch()
    with pytest.raises(IndexError, match=f"3 to {WORDS} are outside the table of {WORDS}"):
        NativeCPU(encoder, head, 48).run(Packed.of([[3, WORDS]], [0]))


@built
def test_many_callers_at_once():
    torch.set_num_threads(2)
    encoder, head = scratch()
    engine, batches = NativeCPU(encoder, head, 48), [packed(*range(1, 10 + number)) for number in range(40)]
    expected = [engine.run(batch) for batch in batches]
    with ThreadPoolExecutor(8) as callers:
        for found, wanted in zip(callers.map(engine.run, batches), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-6)


@built
def test_in_a_forked_process():
    """Threads do not live on in a fork; it makes its own."""
    code = """
import os, sys, torch
sys.path.insert(0, sys.argv[1])
from tests.engine.test_native import NativeCPU, packed, scratch
torch.set_num_threads(2)
engine, batch = NativeCPU(*scratch(), 48), packed(20, 30)
before = engine.run(batch)
child = os.fork()
if not child:
    os._exit(0 if abs(engine.run(batch) - before).max() < 1e-6 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(ROOT)], check=True, timeout=60)


def test_without_the_compiled_part(folders, monkeypatch, tmp_path):
    monkeypatch.setattr(native_library, "FILE", tmp_path / "engine.so")
    native_library.library.cache_clear()
    try:
        assert isinstance(INSTRUCTOR(folders["relu"], device="cpu").backend, TorchCPU)
    finally:
        native_library.library.cache_clear()


@built
@pytest.mark.parametrize(("missing", "precision"), [(1, "exact"), (2, "int8"), (4, "fast")])
def test_on_a_cpu_that_lacks_instructions(missing, precision, folders, monkeypatch):
    """Torch decides there whether it can; the compiled part is never entered."""
    real = native_library.library()
    monkeypatch.setattr(native_library, "library", lambda: type("", (), {"features": lambda self: 7 - missing})())
    encoder = INSTRUCTOR(folders["relu"], device="cpu").encoder
    assert not native_cpu.able(encoder, precision)
    monkeypatch.setattr(native_library, "library", lambda: real)
    monkeypatch.setattr(choice, "bfloat16_is_native", lambda: False)
    if precision == "fast":
        with pytest.raises(Exception, match="needs a CPU that computes in bfloat16"):
            INSTRUCTOR(folders["relu"], device="cpu", precision=precision)


@built
def test_cpus_with_tiles_keep_to_torch(models, monkeypatch):
    """AMX multiplies several times faster than the vector instructions that the compiled engine uses."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_int8": True, "amx_bf16": True})
    encoder = models["relu"].encoder
    assert native_cpu.able(encoder, "exact")
    assert not native_cpu.able(encoder, "fast")
    assert not native_cpu.able(encoder, "int8")


@built
def test_hooks_and_other_tables_go_to_torch(models):
    encoder = copy.deepcopy(models["relu"].encoder)
    assert native_cpu.able(encoder, "exact")
    encoder.embedding.register_forward_hook(lambda *_: None)
    assert not native_cpu.able(encoder, "exact")


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


@pytest.mark.skipif(native_library.library() is None, reason="there is no compiled engine here")
@pytest.mark.parametrize("sources", [True, False])
def test_a_stale_library_is_compiled_again_or_left_out(sources, tmp_path, monkeypatch, caplog):
    stale(tmp_path)
    if not sources:
        (tmp_path / "engine.h").unlink()
    monkeypatch.setattr(native_library, "FILE", tmp_path / build.LIBRARY)
    assert (native_library.library.__wrapped__() is not None) == sources
    (record, *others) = caplog.records
    assert not others or not sources
    assert str(tmp_path) in record.message
    assert ("compiled again" if sources else "left out") in record.message


def test_a_library_of_the_first_interface_is_left_out(tmp_path, monkeypatch, caplog):
    """It has no handshake at all."""
    (tmp_path / "old.c").write_text("int features(void) { return 7; }\n", encoding="utf-8")
    if build.compile_library(tmp_path):
        pytest.skip("there is no compiler here")
    monkeypatch.setattr(native_library, "FILE", tmp_path / build.LIBRARY)
    assert native_library.library.__wrapped__() is None
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
