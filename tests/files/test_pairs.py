"""Rows become pairs: columns that are missing, misspelled or kept."""

import json

import pytest

from instructor_embedding import InputError, Pair
from instructor_embedding.files.pairs import Columns, read_pairs, read_rows


def saved(path, content):
    path.write_text(content, encoding="utf-8")
    return path


def test_every_form(tmp_path):
    assert list(read_pairs(saved(tmp_path / "a.txt", "rye\n\nplum\n"), instruction="i")) == [
        Pair("i", text) for text in ("rye", "", "plum")
    ]
    mixed = (
        '"rye"\n["own", "plum"]\n{"text": "x"}\n{"instruction": "own", "text": "y"}\n{"instruction": null, "text": "z"}'
    )
    expected = [Pair("i", "rye"), Pair("own", "plum"), Pair("i", "x"), Pair("own", "y"), Pair("i", "z")]
    assert list(read_pairs(saved(tmp_path / "a.jsonl", mixed), instruction="i")) == expected
    listed = "[" + mixed.replace("\n", ",") + "]"
    assert list(read_pairs(saved(tmp_path / "a.json", listed), instruction="i")) == expected
    assert list(read_pairs(saved(tmp_path / "b.json", '["first title", "second title", "third title"]'))) == [
        Pair("", f"{which} title") for which in ("first", "second", "third")
    ]
    table = "instruction,text\nown,a\n,b\n"
    assert list(read_pairs(saved(tmp_path / "a.csv", table), instruction="i")) == [Pair("own", "a"), Pair("i", "b")]


def test_kept_columns_and_empty_cells(tmp_path):
    columns = Columns("title", "how", ("id", "n"))
    path = saved(tmp_path / "a.csv", "id,title,how,n\n7,rye,Represent:,1\n8, ,,2\n")
    first, second = read_rows(path, columns)
    assert first == (Pair("Represent:", "rye"), {"id": "7", "n": "1"}, ("line", 2))
    assert (first.is_empty, second.is_empty) == (False, True)
    path = saved(tmp_path / "a.jsonl", json.dumps({"id": 7, "title": "rye", "how": "r", "n": [1]}))
    assert next(read_rows(path, columns)).kept == {"id": 7, "n": [1]}


def test_parquet_reads_the_columns_that_are_needed(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"id": [1, 2], "text": ["a", "b"], "other": [None, None]}), tmp_path / "a.parquet")
    rows = list(read_rows(tmp_path / "a.parquet", Columns(keep=("id",))))
    assert [(row.pair.text, row.kept, row.position) for row in rows] == [
        ("a", {"id": 1}, ("row", 1)),
        ("b", {"id": 2}, ("row", 2)),
    ]


BAD = {
    "missing text": ("a.csv", "title,b\nx,y\n", Columns(), "has no column 'text'; it has 'title', 'b'; name the one"),
    "no rows": ("a.csv", "title,b\n", Columns(), "has no column 'text'"),
    "no header": ("a.csv", "", Columns(), "has no column 'text'; it has none"),
    "near": ("a.csv", "texts\nx\n", Columns(), "did you mean 'texts'"),
    "semicolons": ("a.csv", "id;text\n1;x\n", Columns(), "divided by ';': --delimiter ';'"),
    "instruction": ("a.csv", "text,how\nx,y\n", Columns(instruction="hwo"), "has no column 'hwo'; did you mean 'how'"),
    "instruction in json": ("a.jsonl", '{"text": "x", "how": "y"}', Columns(instruction="hwo"), "line 1 has no column"),
    "capital": ("a.csv", "text,Instruction\nx,y\n", Columns(), "--instruction-column Instruction"),
    "plural": ("a.jsonl", '{"text": "x", "instructions": "y"}', Columns(), "--instruction-column instructions"),
    "kept": ("a.csv", "text,id\nx,1\n", Columns(keep=("ID",)), "has no column 'ID'"),
    "kept of texts": ("a.txt", "x\n", Columns(keep=("id",)), "line 1 has no columns"),
    "null": ("a.jsonl", '"x"\n{"text": null}', Columns(), "line 2: the text of the row is None"),
    "number": ("a.json", '["x", 5]', Columns(), "item 2: the row is of type int"),
    "empty name": ("a.csv", "text\nx\n", Columns(text=""), "--text-column NAME"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_name_file_line_and_column(tmp_path, case):
    name, content, columns, message = BAD[case]
    with pytest.raises(InputError) as caught:
        list(read_rows(saved(tmp_path / name, content), columns))
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value) or case == "empty name"


def test_a_column_that_holds_no_instructions(tmp_path):
    path = saved(tmp_path / "a.csv", "text,instructions\nx,y\n")
    assert list(read_pairs(path, Columns(instruction=""), "i")) == [Pair("i", "x")]
    assert next(read_rows(path, Columns(keep=("instructions",)))).kept == {"instructions": "y"}
