"""LanceDB's registry: a table that embeds its rows and its queries."""

import subprocess
import sys

import numpy as np
import pytest

lancedb = pytest.importorskip("lancedb", reason="lancedb is not installed")
from lancedb.embeddings import get_registry
from lancedb.pydantic import LanceModel, Vector

import instructor_embedding.integrations.lancedb  # noqa: F401
from tests.integrations.conftest import DOCUMENT, QUERY, TEXTS

OPENS = """
import sys
import lancedb
import instructor_embedding.integrations.lancedb
print(lancedb.connect(sys.argv[1]).open_table("texts").search("text").limit(2).to_list())
"""


def test_a_table(name, tmp_path, documents, query):
    function = (
        get_registry().get("instructor-embedding").create(model=name, instruction=DOCUMENT, query_instruction=QUERY)
    )

    class Row(LanceModel):
        text: str = function.SourceField()
        vector: Vector(function.ndims()) = function.VectorField()

    table = lancedb.connect(str(tmp_path)).create_table("texts", schema=Row)
    table.add([{"text": text} for text in TEXTS])
    vectors = np.array(table.to_arrow().column("vector").to_pylist())
    np.testing.assert_allclose(vectors, documents, atol=1e-6)
    rows = table.search(TEXTS[0]).distance_type("dot").limit(2).to_list()
    scores = {row["text"]: 1 - row["_distance"] for row in rows}
    np.testing.assert_allclose([scores[text] for text in TEXTS], documents @ query, atol=1e-5)
    done = subprocess.run([sys.executable, "-c", OPENS, str(tmp_path)], capture_output=True, text=True)
    assert TEXTS[0] in done.stdout, done.stderr
