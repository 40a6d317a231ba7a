"""LlamaIndex: ``InstructorEmbedding``, with one instruction for texts and one for queries."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr

from instructor_embedding.instruction import DOCUMENTS, QUERIES
from instructor_embedding.integrations.lazy_model import DEFAULT, LazyModel


class InstructorEmbedding(BaseEmbedding):
    """An embedding model for LlamaIndex's indexes and pipelines.

    The instructions are fields, so that a pipeline's cache keeps vectors of different instructions apart.

    Parameters
    ----------
    model_name : str
        Hub id or folder; loaded with the first text.
    text_instruction, query_instruction : str
    device : str, optional
    embed_batch_size : int
        Texts per call; memory follows from the model's own batches.
    """

    text_instruction: str = Field(default=DOCUMENTS, description="Instruction of the texts.")
    query_instruction: str = Field(default=QUERIES, description="Instruction of the queries.")
    device: str | None = Field(default=None, description="Device of the model.")
    _model: LazyModel = PrivateAttr()

    def __init__(
        self,
        model_name: str = DEFAULT,
        text_instruction: str = DOCUMENTS,
        query_instruction: str = QUERIES,
        device: str | None = None,
        embed_batch_size: int = 256,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model_name=model_name,
            text_instruction=text_instruction,
            query_instruction=query_instruction,
            device=device,
            embed_batch_size=embed_batch_size,
            **kwargs,
        )
        self._model = LazyModel(model_name, device)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that serialized pipelines use."""
        return "InstructorEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._model.lists([query], self.query_instruction)[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._model.lists([text], self.text_instruction)[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._model.lists(texts, self.text_instruction)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
