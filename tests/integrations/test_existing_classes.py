"""Classes of other packages that import ``InstructorEmbedding``: they work unchanged."""

import importlib

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR

TEXTS = ["The first text.", "Another one, a little longer."]


def expected(folder, instruction, texts=TEXTS):
    return INSTRUCTOR(folder, device="cpu").encode([[instruction, text] for text in texts])


def library(name, request):
    """Import a library; without it the test is skipped, or fails where --require-libraries was given."""
    if request.config.getoption("--require-libraries"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed")


def test_langchain(folders, request):
    module = library("langchain_community.embeddings", request)
    embedder = module.HuggingFaceInstructEmbeddings(model_name=str(folders["relu"]))
    documents = np.array(embedder.embed_documents(TEXTS))
    assert np.allclose(documents, expected(folders["relu"], embedder.embed_instruction), atol=1e-6)
    query = np.array(embedder.embed_query(TEXTS[0]))
    assert np.allclose(query, expected(folders["relu"], embedder.query_instruction)[0], atol=1e-6)


def test_haystack(folders, request):
    module = library("haystack_integrations.components.embedders.instructor_embedders", request)
    from haystack import Document
    from haystack.utils import ComponentDevice

    options = {"model": str(folders["relu"]), "instruction": "Represent:", "device": ComponentDevice.from_str("cpu")}
    vectors = expected(folders["relu"], "Represent:")
    text = module.InstructorTextEmbedder(**options)
    text.warm_up()
    assert np.allclose(text.run(TEXTS[0])["embedding"], vectors[0], atol=1e-6)
    many = module.InstructorDocumentEmbedder(**options, progress_bar=False)
    many.warm_up()
    documents = many.run([Document(content=content) for content in TEXTS])["documents"]
    assert np.allclose([document.embedding for document in documents], vectors, atol=1e-6)


def test_llama_index(folders, request):
    module = library("llama_index.embeddings.instructor", request)
    embedder = module.InstructorEmbedding(
        model_name=str(folders["relu"]), query_instruction="Represent the question:", text_instruction="Represent:"
    )
    texts = np.array(embedder.get_text_embedding_batch(TEXTS))
    assert np.allclose(texts, expected(folders["relu"], "Represent:"), atol=1e-6)
    query = np.array(embedder.get_query_embedding(TEXTS[0]))
    assert np.allclose(query, expected(folders["relu"], "Represent the question:")[0], atol=1e-6)
