"""The class users meet: return types, saving, copying, dtypes, quantization."""

import copy
import pickle
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, InputError, Pair

PAIRS = [["Represent the title: ", "rye bread"], ["", "a plum cake on Sundays"], ["Represent it now: ", "x"]]


def test_return_types(models):
    model = models["relu"]
    default = model.encode(PAIRS)
    assert isinstance(default, np.ndarray)
    assert (default.dtype, default.shape) == (np.float32, (3, 48))
    assert default.flags.writeable
    tensor = model.encode(PAIRS, convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor)
    assert (tensor.dtype, tuple(tensor.shape), tensor.requires_grad) == (torch.float32, (3, 48), False)
    assert not tensor.is_inference()
    rows = model.encode(PAIRS, convert_to_numpy=False)
    assert isinstance(rows, list)
    assert [tuple(row.shape) for row in rows] == [(48,)] * 3
    np.testing.assert_array_equal(torch.stack(rows).numpy(), default)
    np.testing.assert_array_equal(tensor.numpy(), default)
    np.testing.assert_array_equal(model.encode(PAIRS, 7, False, "sentence_embedding", True, True, "cpu", True), tensor)
    np.testing.assert_allclose(model.encode(PAIRS, normalize_embeddings=True), default, atol=1e-7)


def test_single_texts_give_bare_elements(models):
    model = models["relu"]
    pair = Pair(*PAIRS[0])
    assert model.encode(pair).shape == (48,)
    assert model.encode("rye bread", convert_to_tensor=True).shape == (48,)
    assert model.encode("rye bread", convert_to_numpy=False).shape == (48,)
    assert model.encode(pair, output_value="token_embeddings").ndim == 2
    assert set(model.encode(pair, output_value=None)) >= {"input_ids", "sentence_embedding"}


@pytest.mark.parametrize("options", [{}, {"convert_to_tensor": True}, {"convert_to_numpy": False}])
def test_nothing_gives_nothing(models, options):
    vectors = models["relu"].encode([], **options)
    assert len(vectors) == 0
    if options != {"convert_to_numpy": False}:
        assert tuple(vectors.shape) == (0, 48)
    assert models["relu"].encode([], output_value=None) == []
    assert models["relu"].encode([], output_value="token_embeddings") == []
    assert list(models["relu"].encode_stream([])) == []
    assert models["relu"].count_tokens([]).shape == (0,)


def test_token_embeddings(models):
    states = models["relu"].encode(PAIRS, output_value="token_embeddings", convert_to_tensor=True)
    assert [tuple(rows.shape) for rows in states] == [(n, 64) for n in models["relu"].count_tokens(PAIRS)]
    assert not any(rows.requires_grad for rows in states)


def test_features(models):
    model = models["relu"]
    rows = model.encode(PAIRS, output_value=None)
    lengths = model.count_tokens(PAIRS)
    for row, length, context in zip(rows, lengths, model.tokens.context([Pair(*pair) for pair in PAIRS]), strict=True):
        assert list(row) == [
            "input_ids",
            "attention_mask",
            "context_masks",
            "token_embeddings",
            "sentence_embedding",
        ]
        assert row["input_ids"].dtype == row["attention_mask"].dtype == torch.int64
        assert row["context_masks"].shape == ()
        assert row["context_masks"] == context
        assert row["attention_mask"].sum() == length - context
        assert row["input_ids"].shape == (lengths.max(),)
        assert row["token_embeddings"].shape == (lengths.max(), 64)
        assert not row["token_embeddings"][length:].any()
    vectors = torch.stack([row["sentence_embedding"] for row in rows]).numpy()
    np.testing.assert_allclose(vectors, model.encode(PAIRS), atol=1e-6)
    alone = model.encode(PAIRS, output_value=None, batch_size=1)
    assert [len(row["input_ids"]) for row in alone] == lengths.tolist()


def test_forward_has_gradients(model):
    model.train()
    features = model.tokenize(PAIRS)
    assert features["attention_mask"].sum() == model.count_tokens(PAIRS).sum()
    model(features)["sentence_embedding"].sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    assert model.training
    model.encode("a text")
    assert not model.training


@pytest.mark.parametrize("layout", ["sentence-transformers", "legacy-1.0"])
@pytest.mark.parametrize("kind", ["relu", "gated", "wide"])
def test_save_and_load(kind, layout, folders, tmp_path, inputs):
    model = INSTRUCTOR(folders[kind], device="cpu")
    model.max_seq_length = 60
    expected = model.encode(inputs["pairs"], truncate="quiet")
    model.save(tmp_path / "saved", layout=layout)
    again = INSTRUCTOR(tmp_path / "saved", device="cpu")
    assert again.max_seq_length == 60
    assert again.encoder.config == model.encoder.config
    np.testing.assert_array_equal(again.encode(inputs["pairs"], truncate="quiet"), expected)


def test_save_over_the_folder_it_was_loaded_from(model, folders, tmp_path):
    expected = model.encode(PAIRS)
    for layout in ("sentence-transformers", "legacy-1.0", "sentence-transformers"):
        model.save_pretrained(tmp_path / "here", layout=layout)
        model = INSTRUCTOR(tmp_path / "here", device="cpu")
    with torch.no_grad():
        model.encoder.embedding.weight.mul_(1.5)
    changed = model.encode(PAIRS)
    assert np.abs(changed - expected).max() > 1e-4
    model.save(tmp_path / "here")
    np.testing.assert_array_equal(INSTRUCTOR(tmp_path / "here", device="cpu").encode(PAIRS), changed)
    assert not list((tmp_path / "here").glob(".saving-*"))


def test_save_refuses(model, tmp_path):
    with pytest.raises(InputError, match=r"did you mean 'legacy-1\.0'"):
        model.save(tmp_path / "x", layout="legacy")
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(InputError, match="is a file; pass a folder"):
        model.save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "keep me"
    assert not (tmp_path / "x").exists()


def test_copies_are_equal_and_apart(model):
    expected = model.encode(PAIRS)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.encode(PAIRS), expected)
        with torch.no_grad():
            other.encoder.embedding.weight.mul_(2)
        other.max_seq_length = 3
        assert np.abs(other.encode(PAIRS, truncate="quiet") - expected).max() > 1e-3
        np.testing.assert_array_equal(model.encode(PAIRS), expected)


def test_changed_weights_are_seen(model):
    """Vectors follow the weights, however these were changed."""
    seen = [model.encode(PAIRS)]
    with torch.no_grad():
        model.encoder.blocks[0].attention.q.weight.add_(0.05)
    seen.append(model.encode(PAIRS))
    state = {name: value * 1.1 for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    seen.append(model.encode(PAIRS))
    model.encoder.blocks[1].feed_forward.wo.weight.data = torch.zeros(64, 128)
    seen.append(model.encode(PAIRS))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(model.tokenize(PAIRS))["sentence_embedding"][:, 0].sum().backward()
    optimizer.step()
    seen.append(model.encode(PAIRS))
    for before, after in pairwise(seen):
        assert np.abs(before - after).max() > 1e-4


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision(name, folders, models, inputs):
    exact = models["relu"].encode(inputs["pairs"], truncate="quiet")
    model_of_dtype = INSTRUCTOR(folders["relu"], device="cpu", dtype=name)
    other = INSTRUCTOR(folders["relu"], device="cpu")
    other = other.bfloat16() if name == "bfloat16" else other.half()
    for model in (model_of_dtype, other):
        vectors = model.encode(inputs["pairs"], truncate="quiet")
        assert vectors.dtype == np.float32
        assert (vectors * exact).sum(1).min() > 0.999
        assert model.encode(PAIRS, convert_to_tensor=True).dtype == torch.float32
        padded = model(model.tokenize(PAIRS))["sentence_embedding"]
        assert (padded.detach().numpy() * models["relu"].encode(PAIRS)).sum(1).min() > 0.999
    other.float()
    assert (other.encode(PAIRS) * models["relu"].encode(PAIRS)).sum(1).min() > 0.9999


def test_float16_does_not_overflow(folders):
    """T5's feed-forward layers leave the range of float16; the vectors must stay finite."""
    model = INSTRUCTOR(folders["relu"], device="cpu")
    with torch.no_grad():
        for block in model.encoder.blocks:
            block.feed_forward.wo.weight.mul_(40_000)
    exact = model.encode(PAIRS)
    assert (model.half().encode(PAIRS) * exact).sum(1).min() > 0.99


def test_saved_half_precision(folders, tmp_path):
    model = INSTRUCTOR(folders["relu"], device="cpu", dtype="bfloat16")
    model.save(tmp_path / "half")
    size = (tmp_path / "half" / "model.safetensors").stat().st_size
    assert size < 0.6 * (folders["relu"] / "pytorch_model.bin").stat().st_size
    again = INSTRUCTOR(tmp_path / "half", device="cpu", dtype="bfloat16")
    np.testing.assert_array_equal(again.encode(PAIRS), model.encode(PAIRS))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", ["relu", "gated", "wide"])
def test_quantize_dynamic_of_the_readme(kind, folders, tmp_path, inputs):
    model = INSTRUCTOR(folders[kind], device="cpu")
    exact = model.encode(inputs["pairs"], truncate="quiet")
    quantized = torch.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    vectors = quantized.encode(inputs["pairs"], truncate="quiet")
    assert isinstance(quantized, INSTRUCTOR)
    assert (vectors * exact).sum(1).min() > 0.97
    assert np.abs(vectors - exact).max() > 1e-5
    np.testing.assert_array_equal(model.encode(inputs["pairs"], truncate="quiet"), exact)
    quantized.save(tmp_path / "quantized")
    again = INSTRUCTOR(tmp_path / "quantized", device="cpu", precision="exact")
    for name, layer in quantized.named_modules():
        if isinstance(layer, torch.ao.nn.quantized.dynamic.Linear):
            assert torch.equal(again.get_submodule(name).codes, layer.weight().int_repr())
    assert (again.encode(inputs["pairs"], truncate="quiet") * vectors).sum(1).min() > 0.99


def test_similarity(models):
    vectors = models["relu"].encode(PAIRS)
    cosines = models["relu"].similarity(vectors, vectors)
    assert tuple(cosines.shape) == (3, 3)
    np.testing.assert_allclose(cosines, vectors @ vectors.T, atol=1e-6)
    assert tuple(models["relu"].similarity(vectors[0], torch.from_numpy(vectors) * 3).shape) == (1, 3)


def test_limits_and_facts(model):
    assert model.get_sentence_embedding_dimension() == 48
    assert model.get_max_seq_length() == model.max_seq_length == 512
    assert model.device == torch.device("cpu")
    assert model.tokenizer.get_vocab_size() <= model.encoder.config.vocab_size
    for wrong in (0, -1, 2.5, None, "512", True):
        with pytest.raises(InputError, match="max_seq_length must be an integer"):
            model.max_seq_length = wrong
    model.max_seq_length = 1
    assert model.encode(["a b c", "d"], truncate="quiet").shape == (2, 48)


def test_progress_goes_to_stderr_when_asked(models, capsys):
    models["relu"].encode(PAIRS)
    silent = capsys.readouterr()
    assert silent.out == silent.err == ""
    models["relu"].encode(PAIRS, show_progress_bar=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "encode" in shown.err


def test_loading_is_silent(folders, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        INSTRUCTOR(folders["relu"])
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_as_sentence_transformer(model, inputs):
    pytest.importorskip("sentence_transformers")
    other = model.as_sentence_transformer()
    for instruction in {pair.instruction for pair in inputs["pairs"]}:
        texts = [pair.text.strip() for pair in inputs["pairs"] if pair.instruction == instruction]
        if model.tokens.context([Pair(instruction, "")])[0] and instruction.strip():
            expected = model.encode([[instruction, text] for text in texts], truncate="quiet")
            vectors = other.encode(texts, prompt=instruction)
            np.testing.assert_allclose(vectors, expected, atol=1e-5)
