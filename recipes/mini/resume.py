"""The file from which a stopped training of the recipe resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def save(file: Path, stateful: dict[str, Any], **position: Any) -> None:
    """Write the states of model, optimizer and so on, and the position; an earlier file is replaced when complete."""
    state = {name: own.state_dict() for name, own in stateful.items()}
    torch.save(position | state, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


def load(file: Path, stateful: dict[str, Any]) -> dict[str, Any]:
    """Restore what `save` wrote, and return all of it; the position is under the names that it was saved by."""
    state: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    for name, own in stateful.items():
        own.load_state_dict(state[name])
    return state
