"""Every layout in use loads and gives the vectors of the original; every corrupt one gives one clear error."""

import json
import pickle
import socket

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, CheckpointError, ModelNotFoundError
from tests.model import folders as layouts


@pytest.fixture
def folder(folders, tmp_path):
    """A checkpoint that the test may change."""
    return layouts.copied(folders["relu"], tmp_path / "model")


@pytest.mark.parametrize("change", layouts.LAYOUTS, ids=lambda change: change.__name__)
@pytest.mark.parametrize("kind", ["relu", "gated"])
def test_layouts(change, kind, folders, tmp_path, golden, inputs):
    folder = layouts.copied(folders[kind], tmp_path / "model")
    change(folder)
    model = INSTRUCTOR(folder, device="cpu")
    assert model.max_seq_length == 512
    vectors = model.encode(inputs["pairs"], truncate="quiet")
    assert np.abs(vectors - golden[f"{kind}/vectors"]).max() <= 1e-6


def test_sharded(folder, golden, inputs):
    layouts.as_safetensors(folder)
    layouts.sharded(folder)
    vectors = INSTRUCTOR(folder, device="cpu").encode(inputs["pairs"], truncate="quiet")
    assert np.abs(vectors - golden["relu/vectors"]).max() <= 1e-6


def test_plain_t5(folder, models, inputs):
    layouts.plain_t5(folder)
    model = INSTRUCTOR(folder, device="cpu")
    assert model.get_sentence_embedding_dimension() == 64
    vectors = model.encode(inputs["texts"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    states = models["relu"].encode(inputs["texts"], output_value="token_embeddings")
    means = np.stack([rows.numpy().mean(0) for rows in states])
    np.testing.assert_allclose(vectors, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)


def test_half_stored_weights_compute_in_float32(folder, golden, inputs):
    layouts.half_stored(folder)
    model = INSTRUCTOR(folder, device="cpu")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert np.abs(model.encode(inputs["pairs"], truncate="quiet") - golden["relu/vectors"]).max() < 5e-3


def test_settings_of_the_files_are_kept(folder):
    layouts.edited(folder / "sentence_bert_config.json", max_seq_length=20, do_lower_case=True)
    model = INSTRUCTOR(folder, device="cpu")
    assert model.max_seq_length == 20
    np.testing.assert_array_equal(model.encode("UPPER Case"), model.encode("upper case"))


def test_without_normalize(folder):
    entries = json.loads((folder / "modules.json").read_text())[:-1]
    (folder / "modules.json").write_text(json.dumps(entries))
    model = INSTRUCTOR(folder, device="cpu")
    raw = model.encode(["a cat", "a dog"])
    assert np.abs(np.linalg.norm(raw, axis=1) - 1).min() > 1e-3
    unit = model.encode(["a cat", "a dog"], normalize_embeddings=True)
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-6)


def test_a_local_folder_never_touches_the_network(folder, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert INSTRUCTOR(folder, device="cpu").encode("a cat").shape == (48,)
    with pytest.raises(ModelNotFoundError, match="there is no folder"):
        INSTRUCTOR(folder.parent / "nothing", device="cpu")


def test_weights_are_mapped_not_copied(folder):
    layouts.as_safetensors(folder)
    model = INSTRUCTOR(folder, device="cpu")
    with open("/proc/self/maps") as file:
        mapped = [line for line in file if str(folder) in line]
    assert mapped, "the weight file is not mapped"
    assert model.encoder.embedding.weight.dtype == torch.float32


class Evil:
    def __reduce__(self):
        return (print, ("owned",))


def truncate(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def drop_tensor(folder):
    path = folder / "pytorch_model.bin"
    tensors = torch.load(path, weights_only=True)
    del tensors["encoder.block.1.layer.1.DenseReluDense.wo.weight"]
    torch.save(tensors, path)


def more_layers(folder):
    path = folder / "pytorch_model.bin"
    tensors = torch.load(path, weights_only=True)
    tensors["encoder.block.2.layer.0.SelfAttention.q.weight"] = torch.zeros(64, 64)
    torch.save(tensors, path)


def lost_shard(folder):
    layouts.as_safetensors(folder)
    layouts.sharded(folder)
    (folder / "model-00002-of-00003.safetensors").unlink()


def shard_elsewhere(folder):
    layouts.as_safetensors(folder)
    layouts.sharded(folder)
    layouts.edited(folder / "model.safetensors.index.json", weight_map={"shared.weight": "../x.safetensors"})


def cut_safetensors(folder):
    layouts.as_safetensors(folder)
    truncate(folder / "model.safetensors")


def modules(folder, content):
    (folder / "modules.json").write_text(content if isinstance(content, str) else json.dumps(content))


def other_module(folder):
    entries = json.loads((folder / "modules.json").read_text())
    entries[2]["type"] = "sentence_transformers.models.CNN"
    modules(folder, entries)


def outside_module(folder):
    entries = json.loads((folder / "modules.json").read_text())
    entries[2]["path"] = "../../elsewhere_Dense"
    modules(folder, entries)


POOLING, DENSE, BIN = "1_Pooling/config.json", "2_Dense/config.json", "pytorch_model.bin"
BROKEN = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "config is no json": (lambda f: (f / "config.json").write_text("{oops"), "config.json is corrupt json at line 1"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "config.json is not a json object"),
    "config is binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json is not a json file"),
    "config is empty": (lambda f: (f / "config.json").write_text(""), "config.json is corrupt json"),
    "bert": (lambda f: layouts.edited(f / "config.json", model_type="bert"), "model_type 'bert'; INSTRUCTOR is a T5"),
    "no model type": (lambda f: layouts.edited(f / "config.json", model_type=None), "model_type None"),
    "no d_model": (lambda f: layouts.edited(f / "config.json", d_model=None), "d_model None; it must be"),
    "d_kv a string": (lambda f: layouts.edited(f / "config.json", d_kv="16"), "d_kv '16'"),
    "no layers": (lambda f: layouts.edited(f / "config.json", num_layers=0), "num_layers 0"),
    "odd eps": (lambda f: layouts.edited(f / "config.json", layer_norm_epsilon="tiny"), "layer_norm_epsilon 'tiny'"),
    "odd activation": (lambda f: layouts.edited(f / "config.json", feed_forward_proj="swish"), "'swish'; known"),
    "more layers": (more_layers, "holds 3 encoder layers, but config.json says num_layers 2"),
    "fewer layers": (lambda f: layouts.edited(f / "config.json", num_layers=3), "num_layers 3"),
    "other width": (lambda f: layouts.edited(f / "config.json", d_ff=100), "of shape .* but the config says"),
    "other vocabulary": (lambda f: layouts.edited(f / "config.json", vocab_size=500), "embedding.weight of shape"),
    "lost tensor": (drop_tensor, "lacks the tensor blocks.1.feed_forward.wo.weight"),
    "gated without gate": (lambda f: layouts.edited(f / "config.json", feed_forward_proj="gated-gelu"), "lacks the"),
    "no weights": (lambda f: (f / BIN).unlink(), "holds no weights; expected one of model.safetensors"),
    "empty weights": (lambda f: (f / BIN).write_bytes(b""), "pytorch_model.bin is empty"),
    "git-lfs": (lambda f: (f / BIN).write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "cut weights": (lambda f: truncate(f / BIN), "pytorch_model.bin is truncated or corrupt"),
    "cut weights, early": (lambda f: truncate(f / BIN, 0.01), "pytorch_model.bin is truncated or corrupt"),
    "cut safetensors": (cut_safetensors, "model.safetensors is truncated or corrupt"),
    "html for weights": (
        lambda f: (f / BIN).write_text("<html>404</html>"),
        "pytorch_model.bin is truncated or corrupt",
    ),
    "pickle bomb": (lambda f: torch.save({"a": Evil()}, f / BIN), "pickled objects that are not tensors"),
    "plain pickle": (lambda f: (f / BIN).write_bytes(pickle.dumps({"a": Evil()})), "pytorch_model.bin"),
    "not a dict": (lambda f: torch.save([torch.zeros(2)], f / BIN), "not a mapping from names to tensors"),
    "integers": (lambda f: torch.save({"linear.weight": torch.zeros(48, 64).int()}, f / "2_Dense" / BIN), "int32"),
    "lost shard": (lost_shard, "names model-00002-of-00003.safetensors, which is missing"),
    "shard elsewhere": (shard_elsewhere, "outside its folder"),
    "no dense weights": (lambda f: (f / "2_Dense" / BIN).unlink(), "2_Dense holds no weights"),
    "no dense config": (lambda f: (f / DENSE).unlink(), "2_Dense/config.json is missing"),
    "dense misfit": (lambda f: layouts.edited(f / DENSE, in_features=32), "takes 32 dimensions, but .* gives 64"),
    "dense activation": (lambda f: layouts.edited(f / DENSE, activation_function="os.system"), "'os.system'; known"),
    "no pooling config": (lambda f: (f / POOLING).unlink(), "1_Pooling/config.json is missing"),
    "cls pooling": (
        lambda f: (f / POOLING).write_text('{"pooling_mode": "cls"}'),
        "pools by cls; INSTRUCTOR pools by mean",
    ),
    "two poolings": (lambda f: layouts.edited(f / POOLING, pooling_mode_max_tokens=True), "mean_tokens, max_tokens"),
    "modules lost": (lambda f: (f / "modules.json").unlink(), "modules.json is missing although"),
    "modules broken": (lambda f: modules(f, "[1, 2"), "modules.json is corrupt json"),
    "modules odd": (lambda f: modules(f, [1, 2]), "modules.json is not a list of modules"),
    "modules empty": (lambda f: modules(f, []), "lists nothing"),
    "other module": (other_module, "type 'sentence_transformers.models.CNN'; known"),
    "outside module": (outside_module, "outside the checkpoint"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json is missing; copy it"),
    "broken tokenizer": (lambda f: truncate(f / "tokenizer.json"), "tokenizer.json is corrupt"),
    "no end mark": (lambda f: layouts.edited(f / "tokenizer.json", post_processor=None), "does not end texts with"),
    "small vocabulary": (lambda f: layouts.edited(f / "config.json", vocab_size=9), "embedding.weight of shape"),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("case", BROKEN)
def test_broken_checkpoints(case, folder, capsys):
    change, message = BROKEN[case]
    change(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        INSTRUCTOR(folder, device="cpu")
    assert str(folder) in str(caught.value)
    assert caught.value.__cause__ is None
    assert "owned" not in capsys.readouterr().out


def test_only_sentencepiece(folder):
    (folder / "tokenizer.json").rename(folder / "spiece.model")
    with pytest.raises(CheckpointError, match=r"make it from spiece.model with transformers"):
        INSTRUCTOR(folder, device="cpu")


def test_a_file_is_no_folder(folder):
    with pytest.raises(CheckpointError, match="is a file; pass the folder"):
        INSTRUCTOR(folder / "config.json", device="cpu")
