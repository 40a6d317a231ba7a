"""The embedder of documents."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from instructor_embedding.instruction import DOCUMENTS
from instructor_embedding.integrations.lazy_model import DEFAULT, LazyModel


@component
class InstructorDocumentEmbedder:
    """Embeds documents under an instruction.

    Parameters
    ----------
    model : str
        Hub id or folder.
    instruction : str
    device : str, optional
    batch_size : int
    meta_fields_to_embed : list of str, optional
        Fields of ``meta`` that are written before the content.
    embedding_separator : str
        Between these and the content.
    """

    def __init__(
        self,
        model: str = DEFAULT,
        instruction: str = DOCUMENTS,
        device: str | None = None,
        batch_size: int = 32,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        self.model, self.instruction, self.device, self.batch_size = model, instruction, device, batch_size
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator
        self._lazy = LazyModel(model, device, batch_size)

    def to_dict(self) -> dict[str, Any]:
        """Return the component for a saved pipeline."""
        return default_to_dict(
            self,
            model=self.model,
            instruction=self.instruction,
            device=self.device,
            batch_size=self.batch_size,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> InstructorDocumentEmbedder:
        """Return the component of a saved pipeline."""
        return default_from_dict(cls, data)

    def warm_up(self) -> None:
        """Load the model."""
        self._lazy.load()

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Return copies of the documents with their vectors.

        Raises
        ------
        TypeError
            They are not documents.
        """
        if not isinstance(documents, list) or not all(isinstance(document, Document) for document in documents):
            raise TypeError("documents must be a list of Document; for a text use InstructorTextEmbedder")
        vectors = self._lazy.lists(map(self._text, documents), self.instruction)
        pairs = zip(documents, vectors, strict=True)
        return {"documents": [replace(document, embedding=vector) for document, vector in pairs]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """Return copies of the documents with their vectors, computed in a thread."""
        return await asyncio.to_thread(self.run, documents)

    def _text(self, document: Document) -> str:
        meta = [str(document.meta[name]) for name in self.meta_fields_to_embed if document.meta.get(name) is not None]
        return self.embedding_separator.join([*meta, document.content or ""])
