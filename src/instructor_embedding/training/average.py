"""Means of weights: of the last checkpoints of a run, and of models that began from the same one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from instructor_embedding.errors import CheckpointError, InputError
from instructor_embedding.files.atomic import check_folder
from instructor_embedding.model import embedder, hub
from instructor_embedding.model.folder.read import read
from instructor_embedding.model.folder.write import write
from instructor_embedding.model.lowbit_layers import without_quantization
from instructor_embedding.training.embedder import Embedder, state_of


def average(folders: Sequence[Path], weights: Sequence[float] | None = None) -> Embedder:
    """Return the model whose weights are the weighted mean of those of several models.

    Use it for checkpoints of one run, or for models that were trained from the same one (arXiv 2203.05482); weights
    of models that have nothing in common cannot be averaged.

    Parameters
    ----------
    folders : sequence of path
        The first one gives the tokenizer and the settings.
    weights : sequence of float, optional
        One per model; they are scaled to sum up to 1. Default: the same for all.

    Raises
    ------
    InputError
        There is one model alone, or weights do not fit.
    CheckpointError
        The models have different shapes or tokenizers.
    """
    if len(folders) < 2:
        raise InputError(f"averaging needs at least two models, got {len(folders)}")
    shares = list(weights) if weights else [1.0] * len(folders)
    if len(shares) != len(folders) or not sum(shares) > 0 or min(shares) < 0:
        raise InputError(f"weights must be {len(folders)} values of 0 or more, one per model, got {shares}")
    first = _read(folders[0])
    mean = Embedder(first)
    total = {name: value.detach().double() * shares[0] for name, value in mean.named_parameters()}
    for folder, share in zip(folders[1:], shares[1:], strict=True):
        other = _read(folder)
        _refuse_other_model(folders[0], first, folder, other)
        for name, value in state_of(other).items():
            if name not in total or total[name].shape != value.shape:
                raise CheckpointError(f"{folder} is of another shape than {folders[0]}: {name} differs")
            total[name] += value.double() * share
    with torch.no_grad():
        for name, value in mean.named_parameters():
            value.copy_((total[name] / sum(shares)).float())
    return mean


def merge(models: Sequence[str], output: str, weights: Sequence[float] | None = None) -> Path:
    """Write the weighted mean of models, each a folder or a hub id, to a folder; see `average`."""
    check_folder(output)
    folders = [hub.resolve(model) for model in models]
    folder = Path(output)
    if folder.resolve() in [model.resolve() for model in folders]:
        raise InputError(f"{output} is one of the models; write the merged one to another folder")
    write(average(folders, weights).finished(), folder)
    return folder


def _read(folder: Path) -> embedder.Embedder:
    return without_quantization(read(folder))


def _refuse_other_model(first: Path, expected: embedder.Embedder, folder: Path, other: embedder.Embedder) -> None:
    if other.tokens.tokenizer.get_vocab() != expected.tokens.tokenizer.get_vocab():
        raise CheckpointError(f"{folder} has another tokenizer than {first}; merge models that began from the same one")
    if other.encoder.config != expected.encoder.config:
        raise CheckpointError(f"{folder} has another shape than {first}; merge models that began from the same one")
