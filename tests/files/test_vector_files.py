"""Files of vectors in every format, with the columns that are kept."""

import json
import os

import numpy as np
import pytest

from instructor_embedding import InputError, InstructorError, Pair
from instructor_embedding.files.vector_files import VectorFile, check

PAIRS = [Pair("i", f"text {number}") for number in range(5)]
VECTORS = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
KEPT = [{"id": number, "tag": None if number < 2 else "x"} for number in range(5)]


def written(path, kept=(), format=None):
    with VectorFile(str(path), format, 3, kept) as file:
        for rows in (slice(0, 2), slice(2, 5)):
            file.write(PAIRS[rows], VECTORS[rows], KEPT[rows] if kept else None)


def test_npy(tmp_path):
    written(tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), VECTORS)


def test_json_lines(tmp_path):
    written(tmp_path / "a.jsonl", ("id", "tag"))
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [(row["instruction"], row["text"], row["id"], row["tag"]) for row in rows] == [
        (*pair, *kept.values()) for pair, kept in zip(PAIRS, KEPT, strict=True)
    ]
    np.testing.assert_array_equal(np.array([row["embedding"] for row in rows], np.float32), VECTORS)


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    written(tmp_path / "a.parquet", ("id", "tag"))
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["instruction", "text", "id", "tag", "embedding"]
    assert table["id"].to_pylist() == list(range(5))
    assert table["tag"].to_pylist() == [kept["tag"] for kept in KEPT]
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), np.float32), VECTORS)


@pytest.mark.parametrize("ending", ["npy", "jsonl", "parquet"])
def test_nothing_is_left_after_an_error(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_text("old")
    with pytest.raises(ZeroDivisionError), VectorFile(str(tmp_path / f"a.{ending}"), None, 3) as file:
        file.write(PAIRS, VECTORS * (1 // (file.write(PAIRS, VECTORS) or 0)))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "npy"])
def test_devices(ending):
    written(os.devnull, format=ending)
    if os.path.exists("/dev/full") and ending != "npy":
        with pytest.raises(InstructorError, match="cannot write /dev/full: No space left on device"):
            written("/dev/full", format=ending)


def test_wrong_targets(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    cases = [
        (("-", "npy"), "npy cannot be written to stdout; name a file"),
        (("-", "nyp"), "did you mean 'npy'"),
        (("a.docx",), "is not a format"),
        (("a.jsonl.gz",), "vectors are not compressed"),
        ((str(tmp_path / "pipe.npy"),), "not a regular file"),
        ((str(tmp_path / "no" / "a.npy"),), "there is no folder"),
        ((f"{tmp_path}/", "npy"), "it is a folder"),
        ((str(tmp_path / "a.npy"), None, ("id",)), "to keep columns, write jsonl or parquet"),
        ((str(tmp_path / "a.jsonl"), None, ("embedding",)), "cannot be kept"),
        ((str(tmp_path / "a.jsonl"), None, ("id", "id")), "twice"),
    ]
    for arguments, message in cases:
        with pytest.raises(InputError, match=message):
            check(*arguments)
