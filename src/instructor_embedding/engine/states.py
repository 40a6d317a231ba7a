"""Token states and whole feature dicts, for ``output_value="token_embeddings"`` and ``output_value=None``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from instructor_embedding.engine.plan import plan
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.pooling import Head
from instructor_embedding.model.t5 import T5Encoder
from instructor_embedding.model.tokens import TextTokenizer


def token_embeddings(pairs: Sequence[Pair], tokens: TextTokenizer, encoder: T5Encoder, budget: int) -> list[Tensor]:
    """Return the states of each text's tokens, the instruction's included: float32 of shape (tokens, d_model) each."""
    batch = tokens.pack(pairs)
    states: list[Tensor] = [torch.empty(0)] * len(batch)
    with torch.no_grad():
        for order in plan(batch.lengths, budget):
            part = batch.take(order)
            packed = encoder.packed(part)
            for place, rows in zip(order.tolist(), packed.split(part.lengths.tolist()), strict=True):
                states[place] = rows.clone()
    return states


def features(
    pairs: Sequence[Pair], tokens: TextTokenizer, encoder: T5Encoder, head: Head, batch_size: int
) -> list[dict[str, Tensor]]:
    """Return, for each text, a dict of what the model read and computed.

    Keys and shapes are those of the original: ``input_ids``, ``attention_mask`` (0 on the instruction),
    ``context_masks`` (tokens masked for the instruction), ``token_embeddings``, ``sentence_embedding``; texts are
    batched longest first by characters and padded to the longest of their batch. Padding holds zeros.
    """
    order = sorted(range(len(pairs)), key=lambda index: -len(pairs[index].text))
    found: list[dict[str, Tensor]] = [{}] * len(pairs)
    for first in range(0, len(order), batch_size):
        places = order[first : first + batch_size]
        chosen = [pairs[place] for place in places]
        for place, row in zip(places, _rows(chosen, tokens, encoder, head), strict=True):
            found[place] = row
    return found


def _rows(pairs: list[Pair], tokens: TextTokenizer, encoder: T5Encoder, head: Head) -> list[dict[str, Tensor]]:
    batch = tokens.pack(pairs)
    inputs = inputs_of(batch, tokens.context(pairs), encoder)
    with torch.no_grad():
        packed = encoder.packed(batch)
        vectors = head.packed(packed, batch)
        states = packed.new_zeros(*inputs["input_ids"].shape, packed.shape[1])
        inside = (
            torch.arange(states.shape[1], device=packed.device) < torch.from_numpy(batch.lengths).to(packed)[:, None]
        )
        states[inside] = packed
    columns = inputs | {"token_embeddings": states, "sentence_embedding": vectors}
    return [{name: column[row] for name, column in columns.items()} for row in range(len(pairs))]


def inputs_of(batch: Packed, context: np.ndarray, encoder: T5Encoder) -> dict[str, Tensor]:
    """Pad a batch into tensors: ``input_ids`` and ``attention_mask`` (n, longest), ``context_masks`` (n,)."""
    ids, mask = batch.padded(encoder.config.pad_token_id)
    mask[np.arange(mask.shape[1]) < batch.skip[:, None]] = 0
    device = encoder.device
    columns = {"input_ids": ids, "attention_mask": mask, "context_masks": context}
    return {name: torch.from_numpy(column.astype(np.int64)).to(device) for name, column in columns.items()}
