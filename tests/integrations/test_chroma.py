"""Chroma: both instructions, and a collection that is opened again."""

import subprocess
import sys

import numpy as np
import pytest

chromadb = pytest.importorskip("chromadb", reason="chromadb is not installed")

from instructor_embedding.integrations.chroma import InstructorEmbeddingFunction
from tests.integrations.conftest import DOCUMENT, QUERY, TEXTS

OPENS = """
import sys
import chromadb
import instructor_embedding.integrations.chroma
collection = chromadb.PersistentClient(sys.argv[1]).get_collection("texts")
print(collection.query(query_texts=["text"], n_results=2)["ids"])
"""


def function(name):
    return InstructorEmbeddingFunction(name, DOCUMENT, QUERY)


def test_vectors(name, documents, query):
    embed = function(name)
    np.testing.assert_allclose(embed(TEXTS), documents, atol=1e-6)
    np.testing.assert_allclose(embed.embed_query(TEXTS[:1])[0], query, atol=1e-6)
    copy = InstructorEmbeddingFunction.build_from_config(embed.get_config())
    np.testing.assert_allclose(copy(TEXTS), documents, atol=1e-6)
    assert copy.name() == "instructor-embedding"


def test_a_collection_is_opened_again(name, tmp_path):
    collection = chromadb.PersistentClient(str(tmp_path)).create_collection("texts", embedding_function=function(name))
    collection.add(ids=["a", "b"], documents=TEXTS)
    assert set(collection.query(query_texts=["text"], n_results=2)["ids"][0]) == {"a", "b"}
    done = subprocess.run([sys.executable, "-c", OPENS, str(tmp_path)], capture_output=True, text=True)
    assert "'a'" in done.stdout, done.stderr


def test_another_instruction_is_refused(name):
    config = function(name).get_config()
    with pytest.raises(ValueError, match="make another collection"):
        function(name).validate_config_update(config, {**config, "instruction": "Represent it: "})
    function(name).validate_config_update(config, {**config, "query_instruction": "Represent it: "})
    with pytest.raises(ValueError, match="has no argument 'colour'"):
        InstructorEmbeddingFunction.validate_config({"colour": 1})
