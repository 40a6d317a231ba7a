"""A static start: an embedding table whose mean token vectors imitate a teacher, below layers that add nothing yet.

A table alone is learned in minutes and is most of a small model's quality. T5 norms every token's state, which would
erase how much each token weighs in the mean; so one dimension of the model is kept for making all rows equally long,
and the head leaves it out. The model then starts as exactly the mean of the table's rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from instructor_embedding.errors import InputError
from instructor_embedding.instruction import Pair
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.packed import Float32
from instructor_embedding.model.scratch import random_embedder
from instructor_embedding.model.t5 import Attention, FeedForward, RMSNorm
from instructor_embedding.training.teacher import Teacher

BATCH = 1024  # texts a step
RATE = 0.01
_WARMUP = 20
_LONGEST = 0.999  # rows longer than this part of all rows are cut, so that a few do not make all others short


@dataclass(frozen=True)
class Table:
    """A static model: ``mean(rows[ids]) @ axes`` points where the teacher's vector does.

    Attributes
    ----------
    rows : float32 tensor of shape (vocabulary, d)
    axes : float32 tensor of shape (d, dimensions of the teacher)
        Orthonormal rows.
    """

    rows: Tensor
    axes: Tensor


def static_checkpoint(
    shape: str, tokenizer: Tokenizer, teacher: Teacher, texts: Sequence[str], *, epochs: int, seed: int = 0
) -> Embedder:
    """Return a model of a named shape that starts as a static model of the teacher.

    Parameters
    ----------
    shape : str
        As in `model.scratch.random_embedder`; its vectors must have as many dimensions as the teacher's or fewer.
    tokenizer : tokenizers.Tokenizer
    teacher : Teacher
        Holds a vector of each text.
    texts : sequence of str
    epochs : int
        Passes over the texts.
    seed : int

    Raises
    ------
    InputError
        The teacher's vectors have fewer dimensions than the model's.
    """
    parts = random_embedder(shape, tokenizer, seed=seed)
    dense = parts.head.dense_layers()[-1].linear
    width, dimension = parts.encoder.config.d_model, dense.out_features
    if teacher.dimension < dimension:
        raise InputError(f"a static start needs a teacher of at least {dimension} dimensions, not {teacher.dimension}")
    teacher.reduce(dimension)
    targets = teacher.vectors([Pair("", text) for text in texts])
    table = fit_table(
        token_ids(tokenizer, texts), targets, len(parts.encoder.embedding.weight), width - 1, epochs, seed
    )
    put_in(table, parts)
    return parts


def token_ids(tokenizer: Tokenizer, texts: Sequence[str], longest: int = 256) -> list[NDArray[np.int64]]:
    """Return the token ids of each text, at most the first `longest`."""
    found: list[NDArray[np.int64]] = []
    for first in range(0, len(texts), 4096):
        encoded = tokenizer.encode_batch_fast(list(texts[first : first + 4096]))
        found.extend(np.array(one.ids[:longest], np.int64) for one in encoded)
    return found


def fit_table(
    ids: Sequence[NDArray[np.int64]], targets: Float32, vocabulary: int, width: int, epochs: int, seed: int = 0
) -> Table:
    """Learn a table of `width` columns whose mean rows have a high cosine with the targets.

    Parameters
    ----------
    ids : sequence of int64 arrays
        Token ids of text i.
    targets : float32 of shape (n, d)
    vocabulary, width, epochs, seed : int
    """
    _, axes = np.linalg.eigh(targets.T @ targets)
    projection = torch.from_numpy(np.ascontiguousarray(axes[:, ::-1][:, :width]))
    goals = torch.from_numpy(targets) @ projection
    random = torch.Generator().manual_seed(seed)
    table = nn.EmbeddingBag(vocabulary, goals.shape[1], mode="mean")
    nn.init.normal_(table.weight, std=0.02, generator=random)
    optimizer = torch.optim.Adam(table.parameters(), lr=RATE, betas=(0.9, 0.99))
    batch = min(BATCH, len(ids))
    steps = epochs * (len(ids) // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / _WARMUP) * (1 - step / steps)
    )
    for _ in range(epochs):
        order = torch.randperm(len(ids), generator=random)
        for chosen in order[: len(ids) // batch * batch].split(batch):
            rows = [torch.from_numpy(ids[number]) for number in chosen.tolist()]
            starts = torch.tensor([0, *map(len, rows[:-1])]).cumsum(0)
            loss = 1 - F.cosine_similarity(table(torch.cat(rows), starts), goals[chosen]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return Table(table.weight.detach(), projection.T.contiguous())


@torch.no_grad()
def put_in(table: Table, parts: Embedder) -> None:
    """Make a model compute what the table does: rows of one length, layers that add nothing, a head that turns back."""
    width = parts.encoder.config.d_model
    lengths = table.rows.norm(dim=1)
    longest = torch.quantile(lengths[torch.randperm(len(lengths))[:100_000]], _LONGEST)
    rows = table.rows * (longest / lengths.clamp(min=1e-12)).clamp(max=1)[:, None]
    rest = (longest**2 - rows.square().sum(1)).clamp(min=0).sqrt()
    scale = math.sqrt(width) / longest  # the root mean square of a row is 1
    embedding = parts.encoder.embedding.weight
    embedding.zero_()
    embedding[:, : rows.shape[1]] = rows * scale
    embedding[:, -1] = rest * scale
    # the dimension that makes rows equally long is far larger than the others, and the layers must see these
    seen = torch.empty(width).fill_(1 / embedding[:, :-1].square().mean().sqrt().item())
    seen[-1] = 1 / embedding[:, -1].mean().item()
    for part in parts.encoder.modules():
        if isinstance(part, RMSNorm) and part is not parts.encoder.final_norm:
            part.weight.copy_(seen)
        elif isinstance(part, Attention):
            part.o.weight.zero_()
        elif isinstance(part, FeedForward):
            part.wo.weight.zero_()
    weight = parts.head.dense_layers()[-1].linear.weight
    weight.zero_()
    weight[:, : rows.shape[1]] = table.axes.T
