"""The GPU's backend: on CPU tensors everywhere, and the same tests on a card where there is one (``make test-gpu``)."""

import copy

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, Workers, as_pairs, quantize
from instructor_embedding.engine import pipeline
from instructor_embedding.engine.backends import cuda
from instructor_embedding.engine.backends.cuda import CudaBackend, packed_indices
from instructor_embedding.engine.backends.eager import EagerBackend
from instructor_embedding.engine.plan import bucket, padded_length
from instructor_embedding.errors import InputError
from tests.golden import KINDS

NO_CARD = "there is no GPU that this torch can use"
on_card = pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CARD)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, on_card])])
def device(request):
    return torch.device(request.param)


@pytest.fixture
def model_of(models, device):
    """A copy of a golden model on the device."""

    def moved(kind, dtype=torch.float32):
        return copy.deepcopy(models[kind]).to(device, dtype).eval()

    return moved


def run(backend, batch):
    vectors = backend.run(batch)
    assert vectors.dtype == torch.float32
    assert vectors.device.type == backend.device.type
    return vectors.cpu().numpy()


@pytest.mark.parametrize("replayed", [0, 2048])
@pytest.mark.parametrize("kind", KINDS)
def test_vectors_of_the_original(kind, replayed, model_of, golden, inputs, monkeypatch):
    monkeypatch.setattr(cuda, "_REPLAYED", replayed)
    model = model_of(kind)
    vectors = run(CudaBackend(model), model.tokens.pack(inputs["pairs"]))
    np.testing.assert_allclose(vectors, golden[f"{kind}/vectors"], atol=2e-6)


@pytest.mark.slow
def test_flex_attention(model_of, golden, inputs):
    """On CPU tensors its operator is not fused, and takes seconds to import: few texts, no compiler."""
    model = model_of("gated")
    batch = model.tokens.pack(inputs["pairs"])
    short = np.argsort(batch.lengths)[:6]
    vectors = run(CudaBackend(model, "flex"), batch.take(short))
    np.testing.assert_allclose(vectors, golden["gated/vectors"][short], atol=2e-6)


def test_bfloat16_is_near(model_of, golden, inputs):
    model = model_of("gated", torch.bfloat16)
    vectors = run(CudaBackend(model), model.tokens.pack(inputs["pairs"]))
    assert 0.9995 < (vectors * golden["gated/vectors"]).sum(1).min() < 1 - 1e-7


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_quantized_weights_are_computed_in_bfloat16(weights, models, device, inputs):
    model = quantize(models["gated"], weights)
    batch = model.tokens.pack(inputs["pairs"][:8])
    expected = EagerBackend(model).run(batch)
    backend = CudaBackend(model.to(device))
    assert backend.dtype == torch.bfloat16
    assert (run(backend, batch) * expected).sum(1).min() > 0.9995


def test_a_vector_does_not_depend_on_its_batch(model_of, inputs):
    model = model_of("relu")
    backend, batch = CudaBackend(model), model.tokens.pack(inputs["pairs"])
    together = run(backend, batch)
    order = np.random.RandomState(0).permutation(len(batch))
    np.testing.assert_allclose(run(backend, batch.take(order)), together[order], atol=1e-6)
    for text in order[:5]:
        for _ in range(3):  # a first run, its capture and a replay
            alone = run(backend, batch.take(np.array([text])))
            np.testing.assert_allclose(alone, together[[text]], atol=1e-6)


def test_graphs_are_few_and_bounded(model_of, inputs, monkeypatch):
    monkeypatch.setattr(cuda, "_GRAPHS", 3)
    model = model_of("relu")
    backend, batch = CudaBackend(model), model.tokens.pack(inputs["pairs"])
    lengths = {padded_length(length) for length in batch.lengths.tolist() if length <= 128}
    for text in np.flatnonzero(batch.lengths <= 128):
        run(backend, batch.take(np.array([text])))
        assert len(backend._graphs) <= min(3, len(lengths))
    backend.close()
    assert not backend._graphs


def test_shapes_are_few_and_hold_every_token(inputs, models):
    batch = models["relu"].tokens.pack(inputs["pairs"])
    shape, indices = packed_indices(batch)
    assert shape.tokens == bucket(len(batch.ids))
    assert sum(count for count, _ in shape.groups) == len(batch)
    views = cuda._Indices.of(torch.from_numpy(indices), shape)
    flat = torch.cat([rows.flatten() for rows in views.rows])
    assert flat[views.back[: len(batch.ids)]].tolist() == list(range(len(batch.ids)))
    assert sorted(views.order.tolist()) == list(range(len(batch)))
    for tokens in (1, 127, 128, 129, 5000, 16384):
        assert tokens <= bucket(tokens) <= max(tokens + 127, tokens * 17 // 16)
    assert len({bucket(tokens) for tokens in range(1, 16385)}) <= 70
    assert len({padded_length(length) for length in range(1, 513)}) <= 24
    assert all(length <= padded_length(length) <= max(16, length + 15, length * 1.13) for length in range(1, 3000))


def test_memory_that_runs_out_halves_the_budget_once(model_of, inputs, monkeypatch, caplog):
    monkeypatch.setattr(cuda, "_REPLAYED", 0)
    model = model_of("relu")
    backend, pairs = CudaBackend(model), as_pairs(inputs["pairs"])
    expected = run(backend, model.tokens.pack(pairs))
    real, allowed = backend._forward, len(model.tokens.pack(pairs).ids) * 6 // 10

    def small(buffer, shape, bias):
        if shape.tokens > allowed:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(buffer, shape, bias)

    monkeypatch.setattr(backend, "_forward", small)
    for _ in range(2):
        windows = list(pipeline.encode(pairs, model.tokens, backend, 1 << 20, "quiet"))
        np.testing.assert_allclose(windows[0].vectors.cpu().numpy(), expected, atol=1e-6)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{backend.device}: out of memory; runs have at most ")
    allowed = 0
    with pytest.raises(InputError, match=r"a text of \d+ tokens does not fit into the memory of"):
        run(backend, model.tokens.pack(pairs[:1]))


def test_a_batch_size_is_more_tokens_than_on_a_cpu(model_of, inputs):
    model = model_of("relu")
    backend, sizes = CudaBackend(model), []
    real = backend.run
    backend.run = lambda batch: (sizes.append(len(batch.ids)), real(batch))[1]
    list(pipeline.encode(as_pairs(inputs["pairs"]), model.tokens, backend, pipeline.budget_of(2), "quiet"))
    assert 64 < max(sizes) <= 2 * 32 * cuda.BATCH_SCALE


def test_refusals(model_of):
    with pytest.raises(InputError, match=r"float16 is too narrow for T5.*use dtype='bfloat16'"):
        CudaBackend(model_of("relu", torch.float16))
    with pytest.raises(InputError, match="attention='sdap' is unknown; did you mean 'sdpa'"):
        CudaBackend(model_of("relu"), "sdap")


@pytest.mark.slow
def test_fused_functions_are_captured_once(models, inputs, monkeypatch):
    """torch.compile with a backend that generates no code: one graph for all counts of tokens, without breaks."""
    real, graphs = torch.compile, []

    def counted(graph, _):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, **options: real(function, backend=counted, **options))
    model = models["gated"]
    backend, batch = CudaBackend(model, fused=True), model.tokens.pack(inputs["pairs"])
    expected = EagerBackend(model).run(batch)
    np.testing.assert_allclose(run(backend, batch), expected, atol=2e-6)
    first = len(graphs)
    for count in (3, 9, 20):
        run(backend, batch.take(np.arange(count)))
    assert len(graphs) == first <= 4


@pytest.mark.gpu
@on_card
class TestOnACard:
    """What has no form on CPU tensors."""

    def test_instructor_chooses_it(self, folders, golden, inputs):
        model = INSTRUCTOR(folders["relu"], device="cuda")
        assert isinstance(model.backend, CudaBackend)
        assert model.backend is model.backend
        vectors = model.encode(inputs["pairs"], truncate="quiet")
        np.testing.assert_allclose(vectors, golden["relu/vectors"], atol=1e-5)
        with torch.no_grad():
            model.encoder.final_norm.weight.mul_(-1)
        assert np.abs(model.encode(inputs["pairs"], truncate="quiet") - vectors).max() > 1e-3
        half = INSTRUCTOR(folders["relu"], device="cuda", dtype="float16")
        assert isinstance(half.backend, EagerBackend)

    @pytest.mark.parametrize("attention", cuda.ATTENTIONS)
    def test_compiled_and_replayed(self, attention, model_of, golden, inputs):
        model = model_of("gated", torch.bfloat16).to("cuda")
        backend, batch = CudaBackend(model, attention), model.tokens.pack(inputs["pairs"])
        for _ in range(3):
            assert (run(backend, batch) * golden["gated/vectors"]).sum(1).min() > 0.9995

    def test_workers_keep_the_order(self, folders, golden, inputs):
        cards = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        with Workers(INSTRUCTOR(folders["relu"], device="cpu"), cards * (1 if len(cards) > 1 else 2)) as workers:
            vectors = np.concatenate(list(workers.encode(inputs["pairs"], chunk=3, truncate="quiet")))
        np.testing.assert_allclose(vectors, golden["relu/vectors"], atol=1e-5)
