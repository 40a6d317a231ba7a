"""The one reader of rows: every format, source, compression and encoding; what is wrong is named with its line."""

import codecs
import gzip
import io
import json
import os
import subprocess
import sys
import threading

import pytest

from instructor_embedding import InputError
from instructor_embedding.files import text_tables
from instructor_embedding.files.records import Reject, format_of, read_json, read_records, write_records

ROWS = [{"id": "1", "text": "rye, bread"}, {"id": "2", "text": 'a "plum" é'}, {"id": "3", "text": ""}]


def quoted(value):
    return '"' + value.replace('"', '""') + '"'


FORMS = {
    "csv": "id,text\n" + "".join(f"{row['id']},{quoted(row['text'])}\n" for row in ROWS),
    "tsv": "id\ttext\n" + "".join(f"{row['id']}\t{row['text']}\n" for row in ROWS),
    "jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "json": json.dumps(ROWS, indent=2, ensure_ascii=False),
}


def records(path, **options):
    return [record for _, record in read_records(path, **options)]


def saved(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def compressed(content, kind):
    if kind == ".gz":
        return gzip.compress(content)
    if kind == ".zst":
        return pytest.importorskip("zstandard").ZstdCompressor().compress(content)
    return content


@pytest.mark.parametrize("kind", ["", ".gz", ".zst"])
@pytest.mark.parametrize("form", FORMS)
def test_formats_and_compressions(tmp_path, form, kind):
    path = saved(tmp_path / f"a.{form}{kind}", compressed(FORMS[form].encode(), kind))
    assert records(path) == ROWS
    # the content tells the compression, not the name
    assert records(saved(tmp_path / f"b.{form}", path.read_bytes())) == ROWS


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    assert write_records(tmp_path / "a.parquet", iter(ROWS)) == 3
    assert list(read_records(tmp_path / "a.parquet"))[1] == (("row", 2), ROWS[1])


def test_text_lines(tmp_path):
    path = saved(tmp_path / "a.txt", "one\r\n\ntwo\rthree")
    assert list(read_records(path)) == [(("line", n), text) for n, text in enumerate(["one", "", "two", "three"], 1)]


def test_json_lists_of_all_kinds(tmp_path):
    for value in (["first", "second", "third"], [["i", "t"], ["i", "u"]], [], [1.5, None, {"a": [1]}]):
        assert records(saved(tmp_path / "a.json", json.dumps(value))) == value
    assert records(saved(tmp_path / "a.json", '"one"\n"two"\n')) == ["one", "two"]
    with pytest.raises(
        InputError, match=r"line 1: invalid JSON: .*a \.json file is a list of records, or one per line"
    ):
        records(saved(tmp_path / "a.json", '{\n "data": []\n}'))


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("form", [*FORMS, "txt"])
def test_byte_order_marks(tmp_path, form, codec):
    content = FORMS.get(form, "é\nb\n").encode(codec)
    content = codecs.BOM_UTF16_BE + content if codec == "utf-16-be" else content
    expected = ROWS if form in FORMS else ["é", "b"]
    assert records(saved(tmp_path / f"a.{form}", content)) == expected


@pytest.mark.parametrize("codec", ["latin-1", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_that_are_given(tmp_path, codec):
    for form, content in FORMS.items():
        assert records(saved(tmp_path / f"a.{form}", content.encode(codec)), encoding=codec) == ROWS


UNDECODABLE = {
    "latin-1 txt": ("a.txt", b"fine\n\xe9t\xe9\n", "line 2 is not UTF-8 text (byte 5 of the file, byte 0 of"),
    "after a block": (
        "a.txt",
        b"x\n" * 300_000 + b"ab\xff\n",
        "line 300001 is not UTF-8 text (byte 600002 of",
    ),
    "latin-1 csv": ("a.csv", b"text\nfine\n\xe9t\xe9\n", "line 3 is not UTF-8 text (byte 10 of the file"),
    "latin-1 jsonl": ("a.jsonl", b'"x"\n"\xe9"\n', "line 2 is not UTF-8 text (byte 5 of the file"),
    "latin-1 json": ("a.json", b'["x",\n"\xe9"]\n', "line 2 is not UTF-8 text (byte 7 of the file"),
    "UTF-16 without mark": ("a.txt", "one\ntwo\n".encode("utf-16-le"), "line 1 holds a NUL character (byte 1"),
    "UTF-16 as csv": ("a.csv", "text\ntwo\n".encode("utf-16-be"), "line 1 holds a NUL character (byte 0"),
    "UTF-16 as jsonl": ("a.jsonl", '"x"\n'.encode("utf-16-le"), "--encoding utf-16-le"),
    "half of UTF-16": ("a.txt", "one\ntw".encode("utf-16") + b"o", "line 2 is not utf-16-le text (byte 14"),
}


@pytest.mark.parametrize("case", UNDECODABLE)
def test_what_cannot_be_decoded_is_named_exactly(tmp_path, case):
    name, content, message = UNDECODABLE[case]
    with pytest.raises(InputError) as caught:
        records(saved(tmp_path / name, content))
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_unknown_encodings(tmp_path):
    for name in ("latin-99", "base64", "rot13", ""):
        with pytest.raises(InputError, match=r"encoding=.* is unknown; allowed"):
            records(saved(tmp_path / "a.txt", "x"), encoding=name)


def test_quotes_in_tsv_are_characters(tmp_path):
    lines = ['"Never again', "the rye bread", 'It was 5" wide', 'I said "no" twice', "last row"]
    content = "id\ttext\n" + "".join(f"{number}\t{line}\n" for number, line in enumerate(lines, 1))
    assert [row["text"] for row in records(saved(tmp_path / "q.tsv", content))] == lines


def test_csv_quoting(tmp_path):
    content = 'id,text\r\n1,"two\r\nlines, ""quoted"""\r\n\r\n2,a 5" wide\r\n"3",""\r\n'
    rows = list(read_records(saved(tmp_path / "a.csv", content)))
    assert rows == [
        (("line", 2), {"id": "1", "text": 'two\r\nlines, "quoted"'}),
        (("line", 5), {"id": "2", "text": 'a 5" wide'}),
        (("line", 6), {"id": "3", "text": ""}),
    ]


BAD_TABLES = {
    "never closed": ("a.csv", 'id,text\n1,fine\n2,"open\n3,x\n', "line 3: a quote opens a cell and is never closed"),
    "closes elsewhere": ("a.csv", 'id,text\n1,"Never\n2,rye\n3,5" wide\n', "line 4: after the quote that closes the"),
    "unquoted comma": ("a.csv", "id,text\n1,rye, bread\n", "line 2: the row has 3 cells, but the header has 2"),
    "a text over two lines": ("a.tsv", "text\tid\nfirst\nsecond\t1\n", "line 2: the row has 1 cell, but the header"),
    "quoting in tsv": ("a.tsv", 'text\tid\n"first\nsecond"\t1\n', "--input-format csv --delimiter"),
    "duplicate column": ("a.csv", "text,id,text\na,1,b\n", "line 1: the column 'text' appears twice"),
    "semicolons": ("a.csv", "id;text\n1;rye, bread\n", "--delimiter ';'"),
    "duplicate key": ("a.jsonl", '{"text": "a", "text": "b"}\n', "line 1: invalid JSON: the key 'text' appears twice"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_rows_are_never_lost_silently(tmp_path, case):
    name, content, message = BAD_TABLES[case]
    with pytest.raises(InputError) as caught:
        records(saved(tmp_path / name, content))
    assert message in str(caught.value)


def test_duplicate_columns_in_parquet(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table([arrow.array(["a"]), arrow.array(["b"])], names=["text", "text"])
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="the column 'text' appears twice"):
        records(tmp_path / "a.parquet")


def test_large_cells_and_empty_columns(tmp_path):
    large = "x" * 1_000_000
    assert records(saved(tmp_path / "a.csv", f'text,\n"{large}",\n{large},,,\n')) == [{"text": large, "": ""}] * 2


def test_delimiters(tmp_path):
    path = saved(tmp_path / "a.csv", 'id;text\n1;"rye; bread"\n')
    assert records(path, delimiter=";") == [{"id": "1", "text": "rye; bread"}]
    assert records(saved(tmp_path / "b.csv", "a\tb\n1\t2\n"), delimiter="\\t") == [{"a": "1", "b": "2"}]
    for wrong in ("", ";;", '"', "\n"):
        with pytest.raises(InputError, match="must be one character"):
            records(path, delimiter=wrong)
    with pytest.raises(InputError, match="is for csv and tsv"):
        records(saved(tmp_path / "a.jsonl", "1"), delimiter=";")
    assert text_tables.other_delimiter(["text"], ",") == ""


TRUNCATED = {"a.jsonl.gz": ".gz", "a.jsonl.zst": ".zst"}


@pytest.mark.parametrize("name", TRUNCATED)
@pytest.mark.parametrize("lost", [1, 7, 40])
def test_truncated_files_are_errors(tmp_path, name, lost):
    content = compressed(b"".join(b'"%d"\n' % n for n in range(50_000)), TRUNCATED[name])
    with pytest.raises(InputError, match="is truncated or corrupt"):
        records(saved(tmp_path / name, content[:-lost]))
    doubled = saved(tmp_path / name, content + content)  # several members or frames
    assert len(records(doubled)) == 100_000


def test_fifos_and_descriptors(tmp_path):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    for content in (b"one\ntwo\n", gzip.compress(b"one\ntwo\n")):

        def fill(content=content):
            with open(fifo, "wb", buffering=0) as file:
                for byte in content:  # as slowly as a pipe may be
                    file.write(bytes([byte]))

        thread = threading.Thread(target=fill)
        thread.start()
        assert records(fifo, format="txt") == ["one", "two"]
        thread.join()
    read, write = os.pipe()
    os.write(write, b'"one"\n')
    os.close(write)
    assert records(f"/dev/fd/{read}") == ["one"]
    os.close(read)


def test_stdin_is_decoded_as_files_are(monkeypatch):
    for content in ("text\né\n".encode("utf-8-sig"), gzip.compress("text\né\n".encode()), "text\né\n".encode("utf-16")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert records("-", format="csv") == [{"text": "é"}]
        assert not sys.stdin.buffer.closed


def test_memory_is_bounded(tmp_path):
    """A long file is not held: half a million rows in less than 40 MiB more."""
    pytest.importorskip("resource")
    for name, content in {
        "a.csv": b"text\n" + b'"some words of a text"\n' * 500_000,
        "a.json": b"[" + b",".join([b'{"text": "some words of a text"}'] * 500_000) + b"]",
    }.items():
        path = saved(tmp_path / f"{name}.gz", gzip.compress(content, 1))
        code = (
            "import resource, sys; from instructor_embedding.files.records import read_records\n"
            "top = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "before = top(); count = sum(1 for _ in read_records(sys.argv[1])); print(count, top() - before)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        count, grown = map(int, done.stdout.split())
        assert count == 500_000
        assert grown < 40 * 1024


def test_the_ending_tells_the_format():
    assert [format_of(name) for name in ("a.CSV.gz", "a.ndjson", "b", "-", "/dev/fd/63", "x.y/a.txt.zst")] == [
        "csv", "jsonl", "json", "json", "json", "txt",
    ]  # fmt: skip
    assert format_of("-", default="txt") == "txt"
    with pytest.raises(InputError, match=r"the extension \.docx is not a format; name one of txt, csv"):
        format_of("a.docx")
    with pytest.raises(InputError, match="did you mean 'jsonl'"):
        format_of("a", "jsnl")


def test_paths_that_cannot_be_read(tmp_path):
    for path, why in ((tmp_path / "no", "there is no such file"), (tmp_path, "it is a folder"), ("", "empty")):
        with pytest.raises(InputError, match=f"cannot read .*{why}"):
            records(path)


@pytest.mark.parametrize("ending", ["json", "jsonl"])
@pytest.mark.parametrize(
    ("value", "why"), [("[" * 200_000, "nested too deeply"), ("9" * 5000, "an integer has too many digits")]
)
def test_limits_of_json(tmp_path, ending, value, why):
    path = saved(tmp_path / f"a.{ending}", f'[{{"text": {value}}}]\n'.encode())
    with pytest.raises(InputError, match=rf"a\.{ending}, (line|item) 1: invalid JSON: {why}$"):
        records(path)
    path = saved(tmp_path / "value.json", value.encode())
    with pytest.raises(InputError, match=f"invalid JSON: {why}$"):
        read_json(path)


def test_rejects(tmp_path):
    rejects: list[Reject] = []
    path = saved(tmp_path / "a.jsonl", b'"one"\n{\n"\xff"\n"two"\n')
    assert [record for _, record in read_records(path, rejects.append)] == ["one", "two"]
    assert [reject.position for reject in rejects] == ["line 2", "line 3"]


def test_one_value(tmp_path):
    path = saved(tmp_path / "a.json.gz", gzip.compress(codecs.BOM_UTF8 + b'{"data": [1]}'))
    assert read_json(path) == {"data": [1]}
    with pytest.raises(InputError, match="line 2: invalid JSON"):
        read_json(saved(tmp_path / "b.json", '{"a": 1,\n oops}'))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz", "a.jsonl.zst", "a.parquet"])
def test_writing(tmp_path, name):
    pytest.importorskip({"zst": "zstandard", "parquet": "pyarrow"}.get(name.rpartition(".")[2], "json"))
    assert write_records(tmp_path / name, iter(ROWS)) == 3
    assert records(tmp_path / name) == ROWS
    first = (tmp_path / name).read_bytes()
    write_records(tmp_path / name, ROWS)
    assert (tmp_path / name).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [name]
