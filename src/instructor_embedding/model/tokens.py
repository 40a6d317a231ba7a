"""Pairs to token ids, with the exact rules of the original.

With ``tok(s)`` the ids of ``s.strip()`` including the EOS token, truncated to L = max_length (the first L - 1 pieces
and the EOS token stay), a pair (I, t) becomes ``tok(I + t.strip())``: the instruction is not stripped, so a blank at
its end separates it from the text, and without one the text's first word is glued to it.

The first k tokens are not pooled: k is the number of pieces of ``tok(I)`` without the EOS token, or 0 if that is at
most 1. Where the last piece of the instruction merges with the text, the border is approximate, as in the original.
The EOS token is always pooled: k is at most the length less one (the original returned a zero vector or crashed there).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from instructor_embedding.errors import InputError
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Int32, Packed

_CACHED_INSTRUCTIONS = 4096
_CHARACTERS = 16  # per token, that the first prefix has: several times more than in any language
_BETWEEN_WORDS = re.compile(r"(?<=\w) (?=\w)")


class TextTokenizer:
    """Turns pairs into `Packed`; caches the piece counts of recent instructions.

    Use it through ``INSTRUCTOR`` or ``Encoder``; alone where only token counts are needed.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        The checkpoint's tokenizer. Its own padding and truncation are switched off.
    max_length : int
        Most tokens of a text, instruction and EOS token included.
    lower : bool
        Lower-case everything first (``do_lower_case`` of the checkpoint).
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int = 512, lower: bool = False) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.lower = lower
        self._pieces: dict[str, int] = {}

    @property
    def max_length(self) -> int:
        """Most tokens of a text; settable, at least 1."""
        return self._max_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InputError(f"max_seq_length must be an integer of at least 1, got {value!r}")
        self._max_length = int(value)

    def pack(self, pairs: Sequence[Pair]) -> Packed:
        """Tokenize `pairs` by the rules at the head of this file.

        Of a text many times longer than `max_length`, only a prefix is tokenized where that gives the same tokens;
        ``full`` is a lower bound then, and `count` gives the exact number.
        """
        rows = self._first_ids([instruction + text.strip() for instruction, text in pairs])
        full = [len(row) for row in rows]
        limit = self._max_length
        rows = [row if len(row) <= limit else row[: limit - 1] + row[-1:] for row in rows]
        pieces = self._instruction_pieces({instruction for instruction, _ in pairs})
        skip = [
            min(self._masked(pieces[pair.instruction]), len(row) - 1) for pair, row in zip(pairs, rows, strict=True)
        ]
        return Packed.of(rows, skip, full)

    def context(self, pairs: Sequence[Pair]) -> Int32:
        """Return what the original called ``context_masks``: tokens masked for each pair's instruction, int32 (n,)."""
        pieces = self._instruction_pieces({instruction for instruction, _ in pairs})
        return np.array([self._masked(pieces[instruction]) for instruction, _ in pairs], np.int32)

    def count(self, pairs: Sequence[Pair]) -> Int32:
        """Count the tokens of each pair before truncation, int32 of shape (n,)."""
        rows = self._ids(instruction + text.strip() for instruction, text in pairs)
        return np.array([len(row) for row in rows], np.int32)

    def _ids(self, texts: Iterable[str]) -> list[list[int]]:
        """Token ids of each text, stripped, the EOS token included."""
        stripped = [text.strip().lower() if self.lower else text.strip() for text in texts]
        encode = getattr(self.tokenizer, "encode_batch_fast", self.tokenizer.encode_batch)
        return [encoding.ids for encoding in encode(stripped)]

    def _first_ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, or, of a very long one, of a prefix that has more of them than `max_length`."""
        prefixes = [self._prefix(text, _CHARACTERS * self._max_length) for text in texts]
        rows = self._ids(prefixes)
        for row, text in enumerate(texts):
            while len(prefixes[row]) < len(text) and len(rows[row]) <= self._max_length + 1:
                prefixes[row] = self._prefix(text, 4 * len(prefixes[row]))
                (rows[row],) = self._ids([prefixes[row]])
        return rows

    def _prefix(self, text: str, characters: int) -> str:
        """Return a prefix of at least so many characters whose tokens are the first tokens of the text, or the text.

        Tokenizers of T5's kind split at white space first and then each word alone, so that a prefix which ends between
        two words has the tokens of the complete text.
        """
        if len(text) <= characters or not self._splits_words:
            return text
        space = _BETWEEN_WORDS.search(text, characters)
        return text if space is None else text[: space.start()]

    @cached_property
    def _splits_words(self) -> bool:
        """Whether the tokenizer splits at white space before anything else."""
        spec = json.loads(self.tokenizer.to_str()).get("pre_tokenizer") or {}
        first = (spec.get("pretokenizers") or [spec])[0]
        kind = first.get("type")
        return kind in ("WhitespaceSplit", "Whitespace") or (kind == "Metaspace" and first.get("split", True) is True)

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is cached out of pickles: equal tokenizers have equal pickles."""
        return {key: value for key, value in self.__dict__.items() if key != "_splits_words"} | {"_pieces": {}}

    def _masked(self, pieces: int) -> int:
        """Tokens masked for an instruction of that many pieces, the EOS token not counted."""
        masked = min(pieces + 1, self._max_length) - 1
        return 0 if masked <= 1 else masked

    def _instruction_pieces(self, instructions: set[str]) -> dict[str, int]:
        """Count the pieces of each instruction, from the cache where it is there."""
        cache = self._pieces
        known = {text: cache[text] for text in instructions if text in cache}
        new = sorted(instructions - known.keys())
        known.update(zip(new, (len(row) - 1 for row in self._ids(new)), strict=True))
        if len(cache) + len(new) > _CACHED_INSTRUCTIONS:
            cache = self._pieces = {}
        cache.update(known)
        return known
