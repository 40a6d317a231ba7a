"""The dicts of ``output_value=None``: what the model read and computed for each text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from instructor_embedding.engine.pipeline import Window
from instructor_embedding.instruction import Pair
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.packed import Packed


def features(windows: Iterable[Window], embedder: Embedder, batch_size: int) -> list[dict[str, Tensor]]:
    """Return a dict for each text of `windows`, which hold token states.

    Keys and shapes are those of the original: ``input_ids``, ``attention_mask`` (0 on the instruction),
    ``context_masks`` (tokens masked for the instruction), ``token_embeddings``, ``sentence_embedding``; texts are
    batched longest first by characters and padded to the longest of their batch. Padding holds zeros.
    """
    texts = list(_texts(windows))
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index][0].text))
    rows: list[dict[str, Tensor]] = [{}] * len(texts)
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        for index, row in zip(chosen, _padded([texts[index] for index in chosen], embedder), strict=True):
            rows[index] = row
    return rows


def inputs_of(pairs: Sequence[Pair], embedder: Embedder) -> dict[str, Tensor]:
    """Return ``input_ids`` and ``attention_mask`` (n, longest), 0 on the instruction, and ``context_masks`` (n,)."""
    batch = embedder.tokens.pack(pairs)
    ids, mask = batch.padded(embedder.encoder.config.pad_token_id)
    mask[np.arange(mask.shape[1]) < batch.skip[:, None]] = 0
    columns = {"input_ids": ids, "attention_mask": mask, "context_masks": embedder.tokens.context(pairs)}
    return {name: torch.from_numpy(column.astype(np.int64)).to(embedder.device) for name, column in columns.items()}


def attention_mask(batch: Packed, device: torch.device) -> Tensor:
    """Return the mask of a padded batch, int64 of shape (n, longest), 1 on every token, the instruction's included."""
    return torch.from_numpy(batch.padded()[1].astype(np.int64)).to(device)


def _texts(windows: Iterable[Window]) -> Iterator[tuple[Pair, Tensor, Tensor]]:
    for window in windows:
        yield from zip(window.pairs, window.states or [], window.vectors, strict=True)


def _padded(texts: list[tuple[Pair, Tensor, Tensor]], embedder: Embedder) -> list[dict[str, Tensor]]:
    inputs = inputs_of([pair for pair, _, _ in texts], embedder)
    states = torch.nn.utils.rnn.pad_sequence([rows for _, rows, _ in texts], batch_first=True)
    columns = inputs | {"token_embeddings": states, "sentence_embedding": torch.stack([row for _, _, row in texts])}
    return [{name: column[row] for name, column in columns.items()} for row in range(len(texts))]
