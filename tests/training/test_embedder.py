"""LoRA: what is trained, what is merged, what is saved; weights that are copies of a file's; dropout."""

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, CheckpointError, InputError, Pair
from instructor_embedding.model.folder.read import read
from instructor_embedding.training.embedder import PARTS, Embedder

PAIRS = [Pair("Represent it: ", "rye bread"), Pair("", "a plum cake"), Pair("Represent the title: ", "walnuts")]


@pytest.fixture
def embedder(folders):
    return Embedder(read(folders["relu"]))


def step(embedder):
    optimizer = torch.optim.SGD([weight for weight in embedder.parameters() if weight.requires_grad], 0.5)
    embedder(embedder.tokens.pack(PAIRS)).sum().backward()
    optimizer.step()


def test_it_encodes_as_the_finished_model(embedder, models):
    np.testing.assert_allclose(embedder.encode(PAIRS), models["relu"].encode(PAIRS), atol=1e-6)
    assert embedder.encode([]).shape == (0, 48)


def test_training_never_writes_to_the_file(embedder, folders):
    before = (folders["relu"] / "pytorch_model.bin").read_bytes()
    step(embedder)
    assert (folders["relu"] / "pytorch_model.bin").read_bytes() == before


def test_lora_trains_few_weights_and_saves_a_whole_model(embedder, folders, models, tmp_path):
    pytest.importorskip("peft")
    embedder.add_lora(4, 8.0, ["q", "v", "wo"])
    np.testing.assert_allclose(embedder.encode(PAIRS), models["relu"].encode(PAIRS), atol=1e-6)
    trained, total = embedder.count()
    assert 0 < trained < total / 10
    for _ in range(2):  # the second matrix starts at zero, so the first moves only from the second step on
        step(embedder)
    moved = embedder.encode(PAIRS)
    assert np.abs(moved - models["relu"].encode(PAIRS)).max() > 1e-3
    embedder.save(tmp_path / "out")
    np.testing.assert_allclose(INSTRUCTOR(tmp_path / "out", device="cpu").encode(PAIRS), moved, atol=1e-5)
    np.testing.assert_array_equal(embedder.encode(PAIRS), moved)
    again = Embedder(read(folders["relu"]))
    again.add_lora(4, 8.0, ["q", "v", "wo"])
    again.restore(tmp_path / "out")
    np.testing.assert_array_equal(again.encode(PAIRS), moved)
    with pytest.raises(CheckpointError, match="this training was not with LoRA"):
        again.restore(folders["relu"])


def test_wrong_lora_targets_are_told(embedder):
    pytest.importorskip("peft")
    with pytest.raises(InputError, match="lora_targets: query; this model has k, linear, o, q, v, wi, wo"):
        embedder.add_lora(4, 8.0, ["q", "query"])


@pytest.mark.parametrize("weight", PARTS)
def test_frozen_parts_stay(embedder, weight):
    before = {name: value.detach().clone() for name, value in embedder.named_parameters()}
    embedder.freeze([weight])
    step(embedder)
    moved = {name.split(".")[1] for name, value in embedder.named_parameters() if not torch.equal(value, before[name])}
    of = {"embedding": {"embedding"}, "layers": {"relative_bias", "blocks", "final_norm"}, "head": {"dense"}}
    assert moved == set().union(*(names for name, names in of.items() if name != weight))


def test_another_models_weights_are_refused(embedder, folders):
    with pytest.raises(CheckpointError, match="is of another model"):
        embedder.restore(folders["gated"])


def test_dropout_is_set_everywhere(embedder):
    embedder.set_dropout(0.0)
    embedder.train()
    batch = embedder.tokens.pack(PAIRS)
    assert torch.equal(embedder(batch), embedder(batch))
    embedder.set_dropout(0.3)
    assert not torch.equal(embedder(batch), embedder(batch))
    with pytest.raises(InputError, match="dropout must be from 0 to below 1, got 1"):
        embedder.set_dropout(1)
