"""Models in 8 and 4 bits and in half precision: size, accuracy, saving, loading."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from instructor_embedding import INSTRUCTOR, CheckpointError, InputError, quantize
from instructor_embedding.engine.backends.eager import EagerBackend
from instructor_embedding.engine.backends.native import NativeBackend
from instructor_embedding.engine.backends.onednn import OneDNNBackend
from instructor_embedding.model import embedder
from instructor_embedding.model.lowbit_layers import (
    Quantized,
    QuantizedEmbedding,
    QuantizedLinear,
    dequantized,
    rounded,
    weight_of,
    without_quantization,
)

KINDS = ["relu", "gated", "wide"]
LEAST_COSINE = {"int8": 0.999, "int4": 0.95, "bfloat16": 0.9999, "float16": 0.99999, "float32": 1 - 1e-6}
vnni = pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="this CPU has no 8-bit dot products")


@pytest.mark.parametrize("weights", LEAST_COSINE)
@pytest.mark.parametrize("kind", KINDS)
def test_saves_and_loads_what_it_is(kind, weights, models, inputs, tmp_path):
    exact = models[kind].encode(inputs["pairs"], truncate="quiet")
    small = quantize(models[kind], weights)
    small.save(tmp_path / "small")
    dtype = weights if "float" in weights else None
    again = INSTRUCTOR(tmp_path / "small", device="cpu", dtype=dtype)
    vectors = small.encode(inputs["pairs"], truncate="quiet")
    np.testing.assert_array_equal(again.encode(inputs["pairs"], truncate="quiet"), vectors)
    wide = INSTRUCTOR(tmp_path / "small", device="cpu", precision="exact")
    assert (wide.encode(inputs["pairs"], truncate="quiet") * exact).sum(1).min() > LEAST_COSINE[weights]
    for name, tensor in small.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    np.testing.assert_array_equal(models[kind].encode(inputs["pairs"], truncate="quiet"), exact)


@pytest.mark.parametrize(("weights", "embedding", "share"), [
    ("int8", None, 0.28), ("int4", None, 0.21), ("int8", "int4", 0.28), ("bfloat16", None, 0.51),
    ("float16", None, 0.51),
])  # fmt: skip
def test_size(weights, embedding, share, models, tmp_path):
    model = models["relu"]
    quantize(model, weights, embedding=embedding).save(tmp_path / "small")
    full = 4 * sum(weight.numel() for weight in model.encoder.parameters())
    head = 40 * len(load_file(tmp_path / "small" / "model.safetensors")) + 8000  # names, which a small model feels
    assert (tmp_path / "small" / "model.safetensors").stat().st_size - head < share * full


@vnni
def test_runs_on_the_codes_themselves(models, tmp_path, monkeypatch):
    quantize(models["relu"]).save(tmp_path / "small")
    model = INSTRUCTOR(tmp_path / "small", device="cpu")
    assert model.precision == "int8"
    assert isinstance(model.backend, (NativeBackend, OneDNNBackend))
    monkeypatch.setattr("instructor_embedding.model.lowbit_layers.rounded", None)
    model = INSTRUCTOR(tmp_path / "small", device="cpu")
    assert model.encode(["A text."]).shape == (1, 48)
    names = [name for name, weight in model.encoder.named_parameters() if weight.dim() == 2]
    assert names == ["relative_bias.weight"]


@vnni
def test_default_precision_follows_the_folder(models, folders, tmp_path):
    assert INSTRUCTOR(folders["relu"], device="cpu").precision == "exact"
    quantize(models["relu"]).save(tmp_path / "small")
    assert INSTRUCTOR(tmp_path / "small", device="cpu", precision="exact").precision == "exact"
    assert INSTRUCTOR(tmp_path / "small", device="cpu", dtype="float16").precision == "exact"


def test_int8_of_the_engine_is_int8_of_the_folder(models, inputs):
    """Linear layers are rounded in one way, whether when loading or before."""
    small = quantize(models["relu"])
    small.encoder.embedding = models["relu"].encoder.embedding
    small.head = models["relu"].head
    engine = OneDNNBackend(models["relu"], "int8")
    batch = small.tokens.pack(inputs["pairs"])
    np.testing.assert_array_equal(engine.run(batch), OneDNNBackend(small, "int8").run(batch))


def test_modules_and_engine_agree(models, inputs):
    small = quantize(models["gated"], "int4")
    batch = small.tokens.pack(inputs["pairs"])
    plain = EagerBackend(small).run(batch)
    np.testing.assert_allclose(OneDNNBackend(small).run(batch), plain, atol=1e-6)
    padded = small.forward(small.tokenize(inputs["pairs"]))["sentence_embedding"].detach()
    np.testing.assert_allclose(padded, plain, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 4])
def test_rounding_is_accurate_and_preserves_zeros(bits):
    weight = torch.randn(70, 96, generator=torch.Generator().manual_seed(0)) * torch.rand(70, 1)
    weight[3] = 0
    codes, scale = rounded(weight, bits)
    assert codes.nbytes == weight.numel() * bits // 8
    again = dequantized(codes, scale)
    assert torch.equal(again[3], weight[3])
    error = (again - weight).norm() / weight.norm()
    assert error < {8: 0.01, 4: 0.085}[bits]
    x = torch.randn(2, 96)
    assert torch.equal(QuantizedLinear(codes, scale)(x), nn.functional.linear(x, again))


@pytest.mark.parametrize("bits", [8, 4])
def test_large_columns_of_a_table_do_not_coarsen_the_others(bits):
    weight = torch.randn(500, 96, generator=torch.Generator().manual_seed(1))
    weight[:, 7] = 40 + weight[:, 7]
    weight[:, 9] *= 30
    weight[:, 11] = 2.5
    table = QuantizedEmbedding.of(weight, bits)
    again = weight_of(table)
    error = ((again - weight).pow(2).mean(0) / weight.std(0).pow(2).clamp(min=1e-9)).sqrt()
    assert error.max() < {8: 0.02, 4: 0.15}[bits]
    assert torch.equal(again[:, 11], weight[:, 11])
    ids = torch.tensor([[5, 6], [3, 5]])
    assert torch.equal(table(ids), again[ids])


def test_rows_that_are_not_a_multiple_of_a_group_get_8_bits():
    codes, scale = rounded(torch.randn(4, 72), 4)
    assert codes.dtype == torch.int8
    assert scale.shape == (4,)


def test_dense_layers_after_pooling_are_not_quantized(models):
    for weights in ("int8", "int4"):
        assert type(quantize(models["relu"], weights).head.dense[0].linear) is nn.Linear


def test_conversions_leave_scales_alone(models, inputs):
    small = quantize(models["relu"], "int8")
    half = quantize(models["relu"], "int8").to(torch.bfloat16)
    assert torch.equal(half.encoder.embedding.scale, small.encoder.embedding.scale)
    assert half.encoder.embedding.scale.dtype == torch.float32
    cosines = (half.encode(inputs["pairs"], truncate="quiet") * small.encode(inputs["pairs"], truncate="quiet")).sum(1)
    assert cosines.min() > 0.999
    wide = quantize(models["relu"], "int4").half().encode(inputs["pairs"], truncate="quiet")
    assert np.isfinite(wide).all()


def test_back_to_plain_weights(models, tmp_path):
    small = quantize(models["relu"], "int8")
    with pytest.raises(InputError, match=r"cannot be trained; train .*quantize\(model, 'float32'\)"):
        small.train()
    plain = quantize(small, "float32").train()
    assert type(plain.encoder.blocks[0].attention.q) is nn.Linear
    features = plain.forward(plain.tokenize(["A text."]))
    features["sentence_embedding"].sum().backward()
    assert plain.encoder.blocks[0].attention.q.weight.grad is not None
    again = INSTRUCTOR_exact(small, tmp_path).encode(["A text."])
    np.testing.assert_allclose(plain.eval().encode(["A text."]), again, atol=1e-6)
    plain.save(tmp_path / "plain", layout="legacy-1.0")


def test_plain_parts_for_training_and_other_libraries(models, inputs):
    from instructor_embedding.training.embedder import Embedder

    small = quantize(models["gated"], "int4")
    floats = embedder.Embedder(without_quantization(small.encoder), without_quantization(small.head), small.tokens)
    assert not [layer for layer in floats.encoder.modules() if isinstance(layer, Quantized)]
    assert without_quantization(models["gated"].encoder) is models["gated"].encoder
    batch = small.tokens.pack(inputs["pairs"])
    expected = EagerBackend(small).run(batch)
    np.testing.assert_allclose(EagerBackend(floats).run(batch), expected, atol=1e-6)
    names = dict(Embedder(floats).named_parameters())
    assert "encoder.blocks.0.attention.q.weight" in names
    assert "encoder.embedding.weight" in names


def INSTRUCTOR_exact(model, home):
    model.save(home / "exact")
    return INSTRUCTOR(home / "exact", device="cpu", precision="exact")


def test_the_config_names_the_format(models, tmp_path):
    quantize(models["relu"], "int8").save(tmp_path / "small")
    config = json.loads((tmp_path / "small" / "config.json").read_text(encoding="utf-8"))
    assert config["quantization_config"] == {"quant_method": "instructor", "weights": ["int8"]}
    with pytest.raises(InputError, match=r"layout='legacy-1\.0' cannot hold quantized weights"):
        quantize(models["relu"], "int8").save(tmp_path / "old", layout="legacy-1.0")


def test_wrong_arguments(models):
    with pytest.raises(InputError, match="weights='int9' is unknown; did you mean 'int"):
        quantize(models["relu"], "int9")
    with pytest.raises(InputError, match="embedding='float16' is unknown; known: int8, int4"):
        quantize(models["relu"], "int8", embedding="float16")
    with pytest.raises(InputError, match="requires weights='int8' or 'int4', not 'float16'"):
        quantize(models["relu"], "float16", embedding="int8")
    with pytest.raises(InputError, match="takes a model, got str; load it first"):
        quantize("a/name")


def test_corrupt_scales_are_named(models, tmp_path):
    quantize(models["relu"], "int8").save(tmp_path / "small")
    path = tmp_path / "small" / "model.safetensors"
    tensors = load_file(path)
    tensors["shared.weight_scale"] = tensors["shared.weight_scale"][:-1].clone()
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"embedding\.weight as int8 .* but the config says"):
        INSTRUCTOR(tmp_path / "small", device="cpu")
    tensors["shared.weight_scale"] = torch.ones(len(tensors["shared.weight"]))
    columns = tensors.pop("shared.weight_columns")
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="without the means and deviations of columns"):
        INSTRUCTOR(tmp_path / "small", device="cpu")
    tensors["shared.weight_columns"] = columns
    del tensors["shared.weight_scale"]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="weights must be floating point"):
        INSTRUCTOR(tmp_path / "small", device="cpu")
