"""Embedder: the model as one module, from packed or padded token ids to vectors."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from instructor_embedding.model.packed import Packed
from instructor_embedding.model.pooling import Head, pooling_mask
from instructor_embedding.model.t5 import T5Encoder
from instructor_embedding.model.tokens import TextTokenizer


class Embedder(nn.Module):
    """An encoder, a head that pools its states, and the tokenizer that belongs to them.

    Use it wherever a model is passed on: backends are made from it, folders are read as it and written from it,
    training wraps it, and ``INSTRUCTOR`` is one with a friendlier surface.

    Parameters
    ----------
    encoder : T5Encoder
    head : Head
        Mean pooling, dense layers and normalization.
    tokens : TextTokenizer
    """

    def __init__(self, encoder: T5Encoder, head: Head, tokens: TextTokenizer) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.tokens = tokens

    @property
    def dimension(self) -> int:
        """Dimensions of a vector."""
        dense = self.head.dense_layers()
        return dense[-1].linear.out_features if dense else self.encoder.config.d_model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.device

    def packed(self, batch: Packed) -> Tensor:
        """Encode a packed batch, with gradients, without padding; returns float32 of shape (n, dim)."""
        states = self.encoder.packed(batch)
        with torch.autocast(states.device.type, enabled=False):
            return self.head.packed(states, batch)

    def padded(self, ids: Tensor, mask: Tensor, skip: Tensor) -> Tensor:
        """Encode a padded batch, with gradients.

        Use it on devices that prefer few large kernels to no padding. The vectors are those of `packed`.

        Parameters
        ----------
        ids : int of shape (B, L)
        mask : int or bool of shape (B, L)
            1 for tokens, 0 for padding.
        skip : int of shape (B,)
            Leading tokens left out of the mean.

        Returns
        -------
        float32 of shape (B, dim)
        """
        states = self.encoder(ids, mask)
        with torch.autocast(states.device.type, enabled=False):
            return cast(Tensor, self.head(states, pooling_mask(mask, skip)))
