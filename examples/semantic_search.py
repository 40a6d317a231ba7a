"""Semantic search over documents: the pages of this project, split at their headings, searched by meaning."""

import sys
import tempfile
from pathlib import Path

from instructor_embedding.index.index import Index
from instructor_embedding.index.rows import PASSAGE_COLUMNS, Source

DOCS = Path(__file__).parent.parent / "docs"
query = sys.argv[1] if len(sys.argv) > 1 else "How do I make a model smaller?"

with (
    tempfile.TemporaryDirectory() as folder,
    Index.create(folder + "/docs.index", columns=PASSAGE_COLUMNS, store="parquet") as index,
):
    index.add(Source(str(DOCS / "quantization.md")).rows())
    for match in index.search(query, k=3):
        print(f"{match.score:.3f}  {match.payload['heading']}, line {match.payload['line']}: {match.text[:80]}")
