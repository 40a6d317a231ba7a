"""Rows of files and passages of documents."""

import pytest

from instructor_embedding import InputError
from instructor_embedding.index.passages import passages
from instructor_embedding.index.rows import Source, payload_columns, typed

MARKDOWN = """# Bread

Rye bread. It is dark.

```sh
# not a heading
bake
```

## Rolls
Walnut rolls
of two lines.
# Metal
Copper.
"""


def test_passages_know_their_lines_and_headings():
    rows = list(passages(MARKDOWN.splitlines()))
    assert [(row.line, row.heading) for row in rows] == [(3, "Bread"), (11, "Bread > Rolls"), (14, "Metal")]
    assert rows[0].text == "Rye bread. It is dark. ```sh # not a heading bake ```"


def test_long_paragraphs_are_split_with_overlap():
    text = " ".join(f"w{number}" for number in range(25))
    rows = list(passages([text, "", "Short one."], words=10, overlap=3))
    assert [len(row.text.split()) for row in rows] == [10, 13, 10]
    assert rows[1].text.split()[:4] == ["w7", "w8", "w9", "w10"]
    assert rows[2].text.endswith("w24 Short one.")
    words = {word for row in rows for word in row.text.split()}
    assert words == {*text.split(), "Short", "one."}


def test_a_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("nr,text,year\n7,rye,1999\n8,,2000\n9,zinc,\n")
    rows = list(Source(str(path), id_column="nr", keep={"year": "int"}).rows())
    assert [(row.id, row.text, row.payload["year"]) for row in rows] == [("7", "rye", 1999), ("9", "zinc", None)]
    rows = list(Source(str(path)).rows())
    assert [row.id for row in rows] == [f"{path}#2", f"{path}#4"]
    with pytest.raises(InputError, match="line 2: text is 'rye', not an int; keep it as text: --keep text"):
        list(Source(str(path), keep={"text": "int"}).rows())
    for source in (Source(str(path), keep={"yaer": "int"}), Source(str(path), id_column="yaer")):
        with pytest.raises(InputError, match=r"has no column 'yaer'.*'year'"):
            list(source.rows())
    with pytest.raises(InputError, match=r"has no column 'txt'.*'text'"):
        list(Source(str(path), text_column="txt").rows())


def test_a_folder(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.md").write_text(MARKDOWN)
    (tmp_path / "two.txt").write_text("# no heading\n\nText.")
    (tmp_path / "three.pdf").write_bytes(b"%PDF")
    rows = list(Source(str(tmp_path)).rows())
    assert [row.id.removeprefix(str(tmp_path)) for row in rows] == [
        "/b/one.md#1",
        "/b/one.md#2",
        "/b/one.md#3",
        "/two.txt#1",
    ]
    assert rows[3].text == "# no heading Text."
    with pytest.raises(InputError, match="leave --keep and --id out"):
        Source(str(tmp_path), id_column="x").check()


def test_payload_columns():
    assert payload_columns(["a", "b:int", "c:d:float"]) == {"a": "text", "b": "int", "c:d": "float"}
    with pytest.raises(InputError, match="did you mean 'int'"):
        payload_columns(["a:in"])
    with pytest.raises(InputError, match="every index has a column of this name"):
        payload_columns(["digest"])
    assert typed("3.0", "float", "x", "") == 3.0
    assert typed("True", "bool", "x", "") is True
    assert typed({"a": 1}, "text", "x", "") == '{"a": 1}'
