"""Haystack: components, and a saved pipeline that a fresh process loads."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("haystack", reason="haystack-ai is not installed")
from haystack import Document, Pipeline

from haystack_integrations.components.embedders.instructor import InstructorDocumentEmbedder, InstructorTextEmbedder
from tests.integrations.conftest import DOCUMENT, QUERY, TEXTS

LOADS = """
import sys
from haystack import Pipeline
pipeline = Pipeline.loads(sys.stdin.read())
print(len(pipeline.run({"query": {"text": "a text"}, "documents": {"documents": []}})["query"]["embedding"]))
"""


def test_vectors(name, documents, query):
    text = InstructorTextEmbedder(name, instruction=QUERY)
    text.warm_up()
    np.testing.assert_allclose(text.run(TEXTS[0])["embedding"], query, atol=1e-6)
    np.testing.assert_allclose(asyncio.run(text.run_async(TEXTS[0]))["embedding"], query, atol=1e-6)
    many = InstructorDocumentEmbedder(name, instruction=DOCUMENT)
    originals = [Document(content=content) for content in TEXTS]
    rows = many.run(originals)["documents"]
    np.testing.assert_allclose([row.embedding for row in rows], documents, atol=1e-6)
    assert [row.id for row in rows] == [row.id for row in originals]
    assert originals[0].embedding is None
    assert many.run([]) == {"documents": []}
    with pytest.raises(TypeError, match="use InstructorDocumentEmbedder"):
        text.run(originals)
    with pytest.raises(TypeError, match="use InstructorTextEmbedder"):
        many.run(TEXTS[0])


def test_meta_fields(name):
    embedder = InstructorDocumentEmbedder(name, meta_fields_to_embed=["title"], embedding_separator=": ")
    rows = embedder.run([Document(content="bread", meta={"title": "rye"}), Document(content="rye: bread")])["documents"]
    np.testing.assert_allclose(rows[0].embedding, rows[1].embedding, atol=1e-6)


def test_a_saved_pipeline_loads_in_a_fresh_process(name, query):
    pipeline = Pipeline()
    pipeline.add_component("query", InstructorTextEmbedder(name, instruction=QUERY))
    pipeline.add_component("documents", InstructorDocumentEmbedder(name, meta_fields_to_embed=["title"]))
    loaded = Pipeline.loads(pipeline.dumps())
    assert loaded.get_component("documents").to_dict() == pipeline.get_component("documents").to_dict()
    done = subprocess.run([sys.executable, "-c", LOADS], input=pipeline.dumps(), capture_output=True, text=True)
    assert done.stdout.strip() == str(len(query)), done.stderr
