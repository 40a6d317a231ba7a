"""The embedder of queries."""

from __future__ import annotations

import asyncio
from typing import Any

from haystack import component, default_from_dict, default_to_dict

from instructor_embedding.instruction import QUERIES
from instructor_embedding.integrations.lazy_model import DEFAULT, LazyModel


@component
class InstructorTextEmbedder:
    """Embeds a text, such as a query, under an instruction.

    Parameters
    ----------
    model : str
        Hub id or folder.
    instruction : str
    device : str, optional
        ``"cpu"``, ``"cuda:0"``, ``"mps"``.
    """

    def __init__(self, model: str = DEFAULT, instruction: str = QUERIES, device: str | None = None) -> None:
        self.model, self.instruction, self.device = model, instruction, device
        self._lazy = LazyModel(model, device)

    def to_dict(self) -> dict[str, Any]:
        """Return the component for a saved pipeline."""
        return default_to_dict(self, model=self.model, instruction=self.instruction, device=self.device)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> InstructorTextEmbedder:
        """Return the component of a saved pipeline."""
        return default_from_dict(cls, data)

    def warm_up(self) -> None:
        """Load the model."""
        self._lazy.load()

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """Return the vector of a text.

        Raises
        ------
        TypeError
            It is not a text.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a string, got {type(text).__name__}; use InstructorDocumentEmbedder")
        return {"embedding": self._lazy.lists([text], self.instruction)[0]}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, Any]:
        """Return the vector of a text, computed in a thread."""
        return await asyncio.to_thread(self.run, text)
