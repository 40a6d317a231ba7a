"""torch in a forked process: its threads stayed in the parent, and to wait for them would be to wait forever."""

from __future__ import annotations

import logging
import os

import torch

_owner = os.getpid()  # the process that torch's threads belong to


def use_own_threads() -> None:
    """Compute on one thread in a forked child, where OpenMP's pool of threads does not exist.

    Use it before every operation of torch that may use several. The compiled engine needs none of it.
    """
    global _owner
    if os.getpid() != _owner:
        _owner = os.getpid()
        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)
            logging.getLogger("instructor_embedding").warning(
                "this process was forked: torch computes on one thread here, as its others stayed in the parent; "
                "start processes with 'spawn' for all of them"
            )
