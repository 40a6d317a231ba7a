"""LangChain: its own contract tests, and a vector store that uses both instructions."""

import asyncio

import numpy as np
import pytest

pytest.importorskip("langchain_tests", reason="langchain-tests is not installed")
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from instructor_embedding.integrations.langchain import InstructorEmbeddings
from tests.integrations.conftest import DOCUMENT, QUERY, TEXTS


class TestUnit(EmbeddingsUnitTests):
    embeddings_class = InstructorEmbeddings
    embedding_model_params = {"model": "instructor-mini"}  # noqa: RUF012


class TestIntegration(EmbeddingsIntegrationTests):
    embeddings_class = InstructorEmbeddings
    embedding_model_params = {"model": "instructor-mini"}  # noqa: RUF012


def test_vectors(name, documents, query):
    embeddings = InstructorEmbeddings(model=name, embed_instruction=DOCUMENT, query_instruction=QUERY)
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), documents, atol=1e-6)
    np.testing.assert_allclose(embeddings.embed_query(TEXTS[0]), query, atol=1e-6)
    np.testing.assert_allclose(asyncio.run(embeddings.aembed_query(TEXTS[0])), query, atol=1e-6)
    other = embeddings.with_instructions(query_instruction=DOCUMENT)
    np.testing.assert_allclose(other.embed_query(TEXTS[0]), documents[0], atol=1e-6)
    assert embeddings.query_instruction == QUERY


def test_a_vector_store(name):
    store = InMemoryVectorStore.from_texts(TEXTS, InstructorEmbeddings(model=name))
    assert len(store.similarity_search("text", k=2)) == 2
