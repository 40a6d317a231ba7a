"""LlamaIndex: vectors, round trips, and pipelines whose cache knows the instruction."""

import asyncio
import pickle

import numpy as np
import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline

from instructor_embedding.integrations.llama_index import InstructorEmbedding
from tests.integrations.conftest import DOCUMENT, QUERY, TEXTS


@pytest.fixture
def embedding(name):
    return InstructorEmbedding(name, text_instruction=DOCUMENT, query_instruction=QUERY)


def test_vectors(embedding, documents, query):
    np.testing.assert_allclose(embedding.get_text_embedding_batch(TEXTS), documents, atol=1e-6)
    np.testing.assert_allclose(embedding.get_text_embedding(TEXTS[1]), documents[1], atol=1e-6)
    np.testing.assert_allclose(embedding.get_query_embedding(TEXTS[0]), query, atol=1e-6)
    np.testing.assert_allclose(asyncio.run(embedding.aget_query_embedding(TEXTS[0])), query, atol=1e-6)
    np.testing.assert_allclose(asyncio.run(embedding.aget_text_embedding_batch(TEXTS)), documents, atol=1e-6)


def test_round_trips(embedding, query):
    for copy in (InstructorEmbedding.from_dict(embedding.to_dict()), pickle.loads(pickle.dumps(embedding))):
        assert copy.to_dict() == embedding.to_dict()
        np.testing.assert_allclose(copy.get_query_embedding(TEXTS[0]), query, atol=1e-6)


def test_an_index(embedding):
    index = VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS], embed_model=embedding)
    assert len(index.as_retriever(similarity_top_k=2).retrieve("text")) == 2


def test_the_cache_of_a_pipeline_knows_the_instruction(name, documents):
    nodes = [Document(text=text, id_=text) for text in TEXTS]
    first = IngestionPipeline(transformations=[InstructorEmbedding(name, text_instruction=DOCUMENT)])
    np.testing.assert_allclose([node.embedding for node in first.run(documents=nodes)], documents, atol=1e-6)
    second = IngestionPipeline(transformations=[InstructorEmbedding(name, text_instruction=QUERY)], cache=first.cache)
    others = np.array([node.embedding for node in second.run(documents=nodes)])
    assert np.abs(others - documents).max() > 1e-3
