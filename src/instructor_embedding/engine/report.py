"""What a run of `encode` says besides its vectors: progress, and texts that were cut."""

from __future__ import annotations

import warnings

import numpy as np
from tqdm import tqdm

from instructor_embedding.errors import InputError, TruncationError, TruncationWarning, nearest
from instructor_embedding.model.packed import Int32

TRUNCATE = ("warn", "error", "quiet")


class Report:
    """Counts texts, tokens and truncated texts; shows progress; warns or refuses at the first chance.

    Use it as a context manager around the run; leaving it closes the bar and gives the warning.

    Parameters
    ----------
    truncate : str
        ``"warn"``, ``"error"`` or ``"quiet"``.
    limit : int
        Tokens kept of a text.
    total : int, optional
        Number of texts, for the bar.
    progress : bool
        Show a bar on stderr.
    """

    def __init__(self, truncate: str, limit: int, total: int | None = None, progress: bool = False) -> None:
        if truncate not in TRUNCATE:
            hint = nearest(str(truncate), TRUNCATE)
            raise InputError(f"truncate={truncate!r} is unknown{hint}; known: {', '.join(map(repr, TRUNCATE))}")
        self.truncate = truncate
        self.limit = limit
        self.texts = 0
        self.tokens = 0
        self.truncated = 0
        self._first = (0, 0)
        self._bar = tqdm(total=total, unit=" texts", disable=not progress, desc="encode", leave=False)

    def check(self, first: int, full: Int32, kept: Int32) -> None:
        """Take note of a window that starts at text `first`, before it is computed.

        Raises
        ------
        TruncationError
            A text is too long and ``truncate="error"``.
        """
        cut = np.flatnonzero(full > kept)
        if len(cut) and not self.truncated:
            self._first = (first + int(cut[0]), int(full[cut[0]]))
        self.texts += len(full)
        self.tokens += int(kept.sum(dtype=np.int64))
        self.truncated += len(cut)
        if len(cut) and self.truncate == "error":
            index, tokens = self._first
            raise TruncationError(
                f"sentences[{index}] has {tokens} tokens with its instruction, but max_seq_length is {self.limit}; "
                "split the text, raise max_seq_length, or pass truncate='warn'"
            )

    def advance(self, texts: int) -> None:
        """Move the bar by a number of finished texts."""
        self._bar.update(texts)

    def warn(self, stacklevel: int = 2) -> None:
        """Warn once about all texts that were cut."""
        if self.truncated and self.truncate == "warn":
            index, tokens = self._first
            warnings.warn(
                f"{self.truncated} of {self.texts} texts were cut to {self.limit} tokens "
                f"(the first: sentences[{index}] with {tokens}); truncate='error' refuses, 'quiet' says nothing",
                TruncationWarning,
                stacklevel=stacklevel + 1,
            )

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
