"""Weights packed once: exact in float32, near in bfloat16 and int8, and made again when weights change.

Everything here holds for the compiled engine and for the one of torch operators.
"""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, InputError
from instructor_embedding.engine import native_library, pipeline, runtime
from instructor_embedding.engine.backends import native, onednn
from instructor_embedding.engine.backends.eager import EagerBackend
from instructor_embedding.engine.backends.kernels import FloatKernel, Int8Kernel
from instructor_embedding.engine.backends.native import NativeBackend
from instructor_embedding.engine.backends.onednn import OneDNNBackend

KINDS = ("relu", "gated", "wide")
NEEDS = {"fast": onednn.bfloat16_is_native(), "int8": torch.cpu._is_vnni_supported()}
LEAST = {"exact": 1 - 1e-6, "fast": 0.9995, "int8": 0.995}  # cosine, tiny models

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.fixture(params=["native", "torch"], autouse=True)
def engine(request, monkeypatch):
    """Run each test on both engines."""
    if request.param == "torch":
        monkeypatch.setattr(native, "supports", lambda *_: False)
        return OneDNNBackend
    if not native_library.supports(native_library.FLOAT32):
        pytest.skip("the compiled engine is not here")
    return NativeBackend


def need(precision):
    if not NEEDS.get(precision, True):
        pytest.skip(f"this CPU has no {precision} products")


@pytest.mark.parametrize("precision", LEAST)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_modules(kind, precision, folders, models, inputs, engine):
    need(precision)
    model = INSTRUCTOR(folders[kind], device="cpu", precision=precision)
    assert type(model.backend) is engine
    plain = EagerBackend(models[kind])
    batch = model.tokens.pack(inputs["pairs"])
    expected, vectors = plain.run(batch), model.backend.run(batch)
    assert (vectors * expected).sum(1).min() > LEAST[precision]
    if precision == "exact":
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
    else:
        assert np.abs(vectors - expected).max() > 1e-6  # it did compute otherwise


@pytest.mark.parametrize("precision", LEAST)
def test_a_vector_does_not_depend_on_its_neighbors(precision, folders, inputs):
    need(precision)
    model = INSTRUCTOR(folders["relu"], device="cpu", precision=precision)
    together = model.encode(inputs["pairs"], truncate="quiet")
    alone = np.stack([model.encode([pair], truncate="quiet")[0] for pair in inputs["pairs"]])
    np.testing.assert_allclose(together, alone, atol={"exact": 1e-6, "fast": 5e-3, "int8": 5e-3}[precision])


def test_long_texts(folders):
    """Longer than what the plain attention and the bias cache take."""
    model = INSTRUCTOR(folders["relu"], device="cpu")
    model.max_seq_length = 1500
    texts = ["word " * 400, "word " * 2000, "short"]
    plain = EagerBackend(model)
    batch = model.tokens.pack(encode_pairs(texts))
    assert batch.lengths.max() > 1024 > batch.lengths.min() > 0
    np.testing.assert_allclose(model.backend.run(batch), plain.run(batch), atol=1e-6)


def encode_pairs(texts):
    from instructor_embedding import as_pairs

    return as_pairs(texts, "Represent the text:")


def test_weights_changed_behind_the_back_are_seen(model):
    before = model.encode(["A text."])
    model.encoder.blocks[0].feed_forward.wi.weight.data.mul_(1.5)
    assert np.abs(model.encode(["A text."]) - before).max() > 1e-4


def test_products_have_few_numbers_of_rows(model, monkeypatch):
    """oneDNN keeps a kernel for each number of rows, which would fill memory."""
    monkeypatch.setattr(native, "supports", lambda *_: False)
    rows = set()
    product = FloatKernel.multiply

    def counted(self, some, *arguments, **options):
        rows.add(len(some))
        return product(self, some, *arguments, **options)

    monkeypatch.setattr(FloatKernel, "multiply", counted)
    for count in range(1, 300):
        model.encode([" ".join(f"{number}" for number in range(count))], truncate="quiet")
    assert len(rows) < 60
    assert all(number % 8 == 0 for number in rows)


def test_laid_out_once(model):
    first = model.backend
    model.encode(["A text."])
    assert model.backend is first
    model.train()
    model.eval()
    assert model.backend is not first


def test_copies_leave_the_layout_behind(model):
    model.encode(["A text."])
    laid_out = len(pickle.dumps(model))
    model.runtime.refresh()
    assert len(pickle.dumps(model)) == laid_out
    assert copy.deepcopy(model).backend is not model.backend


def test_released_weights_can_be_read(folders, tmp_path):
    model = INSTRUCTOR(folders["relu"], device="cpu")
    model.save(tmp_path / "again")
    model = INSTRUCTOR(tmp_path / "again", device="cpu")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.encoder.final_norm.weight.mul_(2)  # pages that differ from their file
    changed = model.encoder.final_norm.weight.clone()
    model.encode(["A text."])
    assert torch.equal(model.encoder.final_norm.weight, changed)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) or name == "encoder.final_norm.weight"


def test_precision_in_words(folders, monkeypatch):
    with pytest.raises(InputError, match=r"precision='int'.*did you mean 'int8'"):
        INSTRUCTOR(folders["relu"], precision="int")
    monkeypatch.setattr(onednn, "bfloat16_is_native", lambda: False)
    with pytest.raises(InputError, match="needs a CPU that computes in bfloat16"):
        INSTRUCTOR(folders["relu"], precision="fast")
    monkeypatch.setattr(runtime, "int8_is_fast", lambda: False)
    with pytest.raises(InputError, match="needs a CPU with 8-bit dot products"):
        INSTRUCTOR(folders["relu"], precision="int8")


def test_precision_needs_products_it_knows(folders):
    need("int8")
    model = INSTRUCTOR(folders["relu"], device="cpu", precision="int8", dtype="float16")
    with pytest.raises(InputError, match="precision='int8' is for float32 and bfloat16 models on a CPU"):
        model.encode(["A text."])


@pytest.mark.parametrize("positive", [False, True])
def test_int8_product_is_near(positive):
    need("int8")
    random = torch.Generator().manual_seed(1)
    x, weight = torch.randn(37, 64, generator=random), torch.randn(48, 64, generator=random)
    x[3] = 0
    x = x.relu() if positive else x
    scale = torch.rand(37, 1, generator=random) + 0.5
    kernel = Int8Kernel(torch.float32)
    result, rest = kernel.multiply(
        kernel.rows(x.clone(), scale, positive), kernel.pack([SimpleNamespace(weight=weight)])
    )
    expected = (x * scale) @ weight.T
    error = ((result * rest - expected).norm() / expected.norm()).item()
    assert 1e-4 < error < 0.012
    assert (result[3] == 0).all()


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_new", "silu"])
def test_activations(activation):
    from instructor_embedding.model.t5 import ACTIVATIONS

    random = torch.Generator().manual_seed(2)
    x, weight = torch.randn(9, 32, generator=random), torch.randn(16, 32, generator=random) / 6
    expected = ACTIVATIONS[activation](x @ weight.T)
    kernel = FloatKernel(torch.float32)
    result, scale = kernel.multiply(kernel.rows(x.clone()), kernel.pack([SimpleNamespace(weight=weight)]), activation)
    assert scale is None
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_budget_does_not_change_vectors(model, inputs):
    batch = inputs["pairs"]
    results = [
        np.concatenate([window.vectors for window in pipeline.encode(batch, model.tokens, model.backend, budget)])
        for budget in (8, 1024, 100_000)
    ]
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=1e-6)
