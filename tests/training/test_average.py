"""Means of checkpoints and of models; what cannot be averaged is refused."""

import sys

import numpy as np
import pytest

pytest.importorskip("transformers")

from instructor_embedding import CheckpointError, InputError
from instructor_embedding.model.folder.read import read
from instructor_embedding.training.average import average
from instructor_embedding.training.embedder import Embedder, state_of
from instructor_embedding.training.resume import checkpoints
from instructor_embedding.training.run import train
from tests.training.test_resume import flags_of


def weights(folder):
    return {name: value.double().numpy() for name, value in state_of(read(folder)).items()}


@pytest.fixture
def two(folders, tmp_path):
    """Two models of one shape and tokenizer."""
    import torch

    other = Embedder(read(folders["relu"]))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in other.parameters():
            value += 0.1 * torch.randn(value.shape, generator=generator)
    other.save(tmp_path / "other")
    return folders["relu"], tmp_path / "other"


def test_weights_of_models(two):
    first, second = map(weights, two)
    for shares, share in ((None, 0.5), ([3, 1], 0.75), ([1, 0], 1.0)):
        merged = {name: value.detach().numpy() for name, value in average(two, shares).named_parameters()}
        for name, value in merged.items():
            np.testing.assert_allclose(value, share * first[name] + (1 - share) * second[name], atol=1e-6)


def test_what_cannot_be_averaged(two, folders):
    with pytest.raises(CheckpointError, match=r"another (tokenizer|shape) than"):
        average([folders["relu"], folders["gated"]])
    with pytest.raises(InputError, match="needs at least two models, got 1"):
        average([folders["relu"]])
    for shares in ([1], [1, -1], [0, 0]):
        with pytest.raises(InputError, match="weights must be 2 values of 0 or more"):
            average(two, shares)


def test_the_command(two, tmp_path, monkeypatch, capfd):
    from instructor_embedding.cli.main import main

    for arguments, code in (
        ([*map(str, two), "-o", str(tmp_path / "merged"), "--weight", "1", "--weight", "3"], 0),
        ([str(two[0]), str(two[1]), "-o", str(two[1])], 2),
    ):
        monkeypatch.setattr(sys, "argv", ["instructor-embed", "merge", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert (stop.value.code or 0) == code
    assert "is one of the models; write the merged one to another folder" in capfd.readouterr().err
    first, second, merged = weights(two[0]), weights(two[1]), weights(tmp_path / "merged")
    for name, value in merged.items():
        np.testing.assert_allclose(value, 0.25 * first[name] + 0.75 * second[name], atol=1e-6)


def test_the_last_checkpoints_of_a_run(folders, cache, tmp_path, capsys):
    out = tmp_path / "out"
    flags = flags_of(folders, cache, out, "--max_steps 6 --save_steps 2 --learning_rate 1e-3 --average last:3")
    train(flags)
    stored = [weights(folder) for folder in checkpoints(out)]
    assert len(stored) == 3
    for name, value in weights(out).items():
        np.testing.assert_allclose(value, sum(state[name] for state in stored) / 3, atol=1e-6)
    assert "the model is the mean of checkpoint-2, checkpoint-4, checkpoint-6" in capsys.readouterr().err
    with pytest.raises(InputError, match="needs 3 checkpoints, and 2 steps give 1; lower save_steps"):
        train(flags_of(folders, cache, tmp_path / "few", "--max_steps 2 --save_steps 2 --average last:3"))
