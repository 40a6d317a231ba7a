"""What happens to texts that are longer than the model takes: one policy for every output and every entry point."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from instructor_embedding.errors import TruncationError, TruncationWarning, choose
from instructor_embedding.model.packed import Int32

TRUNCATE = ("warn", "error", "quiet")
_PACKAGE = str(Path(__file__).parents[1])


class Truncation:
    """Counts the texts of one call, refuses or reports those that are too long.

    Parameters
    ----------
    policy : str
        ``"warn"``: truncate, and warn once; ``"error"``: refuse; ``"quiet"``: truncate.
    limit : int
        The model's ``max_seq_length``, for messages.

    Raises
    ------
    InputError
        The policy is unknown.
    """

    def __init__(self, policy: str, limit: int) -> None:
        self.policy = choose("truncate", policy, TRUNCATE)
        self.limit = limit
        self.texts = 0
        self.truncated = 0
        self._first = (0, 0)

    def check(self, full: Int32, kept: Int32, exact: Callable[[int], int] | None = None) -> None:
        """Count the next texts of the call, before they are computed.

        Parameters
        ----------
        full, kept : int32 of shape (n,)
            Tokens of each text before and after truncation.
        exact : callable, optional
            Returns the exact number of tokens of one of these texts, where `full` is a lower bound.

        Raises
        ------
        TruncationError
            A text is too long and the policy is ``"error"``.
        """
        too_long = np.flatnonzero(full > kept)
        if len(too_long) and not self.truncated:
            index = int(too_long[0])
            reported = exact is not None and self.policy != "quiet"
            self._first = (self.texts + index, exact(index) if exact and reported else int(full[index]))
        self.texts += len(full)
        self.truncated += len(too_long)
        if len(too_long) and self.policy == "error":
            index, tokens = self._first
            raise TruncationError(
                f"sentences[{index}] has {tokens} tokens with its instruction, but max_seq_length is {self.limit}; "
                "split the text, raise max_seq_length, or pass truncate='warn'"
            )

    def warn(self) -> None:
        """Warn once about all texts that were truncated, at the caller's line outside this package."""
        if self.truncated and self.policy == "warn":
            index, tokens = self._first
            warnings.warn(
                f"{self.truncated} of {self.texts} texts were cut to {self.limit} tokens "
                f"(the first: sentences[{index}] with {tokens}); truncate='error' refuses, 'quiet' says nothing",
                TruncationWarning,
                stacklevel=_level(),
            )


def _level() -> int:
    """Return the ``stacklevel`` of the first frame outside this package, as seen from the caller."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
