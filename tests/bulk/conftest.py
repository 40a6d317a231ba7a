"""A corpus of several files, and jobs over it with a model of two layers, in this process."""

import json

import pytest

from instructor_embedding.bulk.pool import ModelSettings
from instructor_embedding.bulk.run import Progress, Request, run

WORDS = ["rye", "bread", "walnut", "copper", "price", "loaf", "wheat", "zinc", "mine", "river"]


def text(number):
    return " ".join(WORDS[(number * 7 + step * step) % len(WORDS)] for step in range(1 + number % 9)) + f" {number}"


@pytest.fixture
def corpus(tmp_path):
    """A folder with jsonl, csv and parquet: 90 records, of which 3 have no row."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    folder = tmp_path / "corpus"
    (folder / "more").mkdir(parents=True)
    lines = [json.dumps({"id": f"a{n}", "text": text(n), "year": n}) for n in range(40)]
    lines[7:7] = [
        "{bad",
        json.dumps({"id": "x", "text": 5, "year": 1}),
        json.dumps({"id": "y", "text": " ", "year": 1}),
    ]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n\n")
    (folder / "b.csv").write_text("id,text,year\n" + "".join(f'b{n},"{text(n)}, yes",{n}\n' for n in range(27)))
    rows = [{"id": f"c{n}", "text": text(n + 50), "year": n} for n in range(20)]
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "more" / "c.parquet", row_group_size=6)
    (folder / "notes.txt").write_text("not data\n")
    return folder


@pytest.fixture
def request_of(folders, corpus, tmp_path):
    """Return a request for the corpus, with some values changed."""

    def make(output="out", **changes):
        values = {"names": [str(corpus)], "id_column": "id", "columns": {"year": "int"}, "shard_rows": 10, **changes}
        return Request(folder=str(tmp_path / output), settings=ModelSettings(str(folders["relu"]), "cpu"), **values)

    return make


@pytest.fixture
def finished(request_of):
    """Run a job and return its folder."""

    def make(output="out", progress=None, **changes):
        request = request_of(output, **changes)
        run(request, progress or Progress())
        return request.folder

    return make


def rows_of(folder, *columns):
    """Return the rows of all shards, in order."""
    import pyarrow.parquet as parquet

    from instructor_embedding.files import manifest as manifests

    names = manifests.read(folder).shards
    return [row for name in names for row in parquet.read_table(f"{folder}/{name}", columns=list(columns)).to_pylist()]


def shard_bytes(folder):
    """Return the content of each shard, by name."""
    from pathlib import Path

    return {path.name: path.read_bytes() for path in Path(folder).glob("*.parquet")}
