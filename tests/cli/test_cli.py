"""The command as a user runs it: forms of input and output, messages, exit codes."""

import json

import numpy as np
import pytest

from instructor_embedding.instruction import Pair

ROWS = [Pair("Represent it: ", "rye bread"), Pair("Represent the title: ", "a plum, cake"), Pair("Represent it: ", "")]


@pytest.fixture
def expected(models):
    return models["relu"].encode(ROWS)


def write_rows(path, kind):
    records = [{"instruction": "" if n == 2 else row.instruction, "text": row.text} for n, row in enumerate(ROWS)]
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, records)) + "\n\n")
    elif kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        quote = '"' if kind == "csv" else ""  # tsv has no quoting
        cells = [[record["instruction"], f"{quote}{record['text']}{quote}"] for record in records]
        path.write_text("\n".join(mark.join(row) for row in [["instruction", "text"], *cells]))
    else:
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(records), path)


def vectors_in(path):
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        return np.array(table["embedding"].to_pylist(), np.float32)
    return np.array([json.loads(line)["embedding"] for line in path.read_text().splitlines()], np.float32)


@pytest.mark.parametrize("source", ["jsonl", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("target", ["npy", "jsonl", "parquet"])
def test_encode_files(command, tmp_path, expected, source, target):
    write_rows(tmp_path / f"rows.{source}", source)
    done = command("encode", tmp_path / f"rows.{source}", "-i", "Represent it: ", "-o", tmp_path / f"out.{target}")
    assert done.code == 0, done.err
    assert done.out == ""
    assert done.err.splitlines()[-1].startswith("3 texts, ")
    np.testing.assert_allclose(vectors_in(tmp_path / f"out.{target}"), expected, atol=1e-6)
    assert not list(tmp_path.glob("*.part"))


def test_encode_lines_from_stdin_to_stdout(command, models):
    done = command("encode", "-i", "Represent it: ", stdin="rye bread\r\n\nplum\n")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["instruction"], row["text"]) for row in rows] == [
        ("Represent it: ", text) for text in ("rye bread", "", "plum")
    ]
    vectors = np.array([row["embedding"] for row in rows], np.float32)
    expected = models["relu"].encode(["rye bread", "", "plum"], instruction="Represent it: ")
    np.testing.assert_array_equal(vectors, expected)


def test_json_lines_may_be_texts_and_pairs(command, models):
    done = command("encode", "--input-format", "jsonl", stdin='"rye"\n["Represent it: ", "plum"]\n{"text": "x"}\n')
    vectors = np.array([json.loads(line)["embedding"] for line in done.out.splitlines()], np.float32)
    np.testing.assert_array_equal(vectors, models["relu"].encode(["rye", ["Represent it: ", "plum"], "x"]))


def test_closing_line_as_json(command, tmp_path, models):
    (tmp_path / "a.txt").write_text("rye bread\nplum\n" + "long " * 700)
    done = command("encode", tmp_path / "a.txt", "-o", tmp_path / "a.npy", "--json")
    facts = json.loads(done.out)
    counts = models["relu"].count_tokens(["rye bread", "plum", "long " * 700])
    assert (facts["texts"], facts["truncated"]) == (3, 1)
    assert facts["tokens"] == np.minimum(counts, 512).sum()


def test_other_columns(command, tmp_path, models):
    (tmp_path / "a.csv").write_text("title,how\nrye,Represent it: \n")
    options = ("--text-column", "title", "--instruction-column", "how", "-o", tmp_path / "a.npy")
    assert command("encode", tmp_path / "a.csv", *options).code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), models["relu"].encode([["Represent it: ", "rye"]]))


def test_nothing_to_encode(command, tmp_path):
    (tmp_path / "a.txt").write_text("")
    for target in ("npy", "jsonl", "parquet"):
        assert command("encode", tmp_path / "a.txt", "-o", tmp_path / f"out.{target}").code == 0
    assert np.load(tmp_path / "out.npy").shape == (0, 48)


BAD_FILES = {
    "no such file": ("nothing.txt", None, "there is no such file"),
    "a folder": ("", None, "it is a folder"),
    "unknown ending": ("a.docx", "x", "the extension .docx is not a format; name one of txt"),
    "not UTF-8": ("a.txt", b"fine\n\xff\xfe\n", "is not UTF-8 text"),
    "broken json": ("a.jsonl", '{"text": "x"}\n{oops\n', "line 2: invalid JSON"),
    "no text column": ("a.csv", "title,b\nx,y\n", "has no column 'text'; it has 'title', 'b'; name the one"),
    "near text column": ("a.csv", "texts,b\nx,y\n", "did you mean 'texts'"),
    "no text key": ("a.jsonl", '{"text": "x"}\n{"body": "x"}\n', "line 2 has no column 'text'"),
    "text is null": ("a.jsonl", '{"text": "x"}\n{"text": null}\n', "line 2: the text of the row is None"),
    "text is a number": ("a.jsonl", "5\n", "line 1: the row is of type int"),
    "not parquet": ("a.parquet", "x", "is not a parquet file"),
    "empty csv": ("a.csv", "", "has no column 'text'; it has none"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(command, tmp_path, case):
    name, content, message = BAD_FILES[case]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "out.npy").write_bytes(b"keep me")
    done = command("encode", path, "-o", tmp_path / "out.npy")
    assert done.code == 2
    assert message in done.err
    assert str(path) in done.err
    assert "Traceback" not in done.err
    assert (tmp_path / "out.npy").read_bytes() == b"keep me"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["encode", "--output-format", "npy"], 2, "npy cannot be written to stdout; name a file"),
        (["encode", "--output-format", "nyp"], 2, "did you mean 'npy'"),
        (["encode", "--input-format", "parquet"], 2, "parquet cannot be read from stdin"),
        (["encode", "-o", "/nowhere/x.npy"], 2, "cannot write /nowhere/x.npy"),
        (["encode", "--truncate", "error"], 2, "max_seq_length is 512; split the text"),
        (["encode", "--truncate", "cut"], 2, "--truncate='cut' is unknown"),
        (["encode", "--batch-size", "0"], 2, "--batch-size must be at least 1, got 0"),
        (["encode", "--dtype", "int8"], 2, "--dtype='int8' is unknown"),
        (["encode", "--device", "tpu"], 2, "device='tpu' is unknown"),
        (["encode", "--nonsense"], 2, "No such option"),
        (["similarity", "alone"], 2, "takes at least two texts, got 1"),
        (["similarity", "a", "b", "c", "-i", "x", "-i", "y"], 2, "-i was given 2 times for 3 texts"),
    ],
)
def test_wrong_usage(command, arguments, code, message):
    done = command(*arguments, stdin="word " * 600)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_broken_model_is_a_failure(command, tmp_path):
    done = command("info", tmp_path, model=False)
    assert done.code == 1
    assert "config.json is missing" in done.err


def test_similarity(command, models):
    vectors = models["relu"].encode([["Represent it: ", text] for text in ("rye", "plum", "bread")])
    done = command("similarity", "rye", "plum", "-i", "Represent it: ")
    assert float(done.out) == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-4)
    done = command("similarity", "--json", "-i", "Represent it: ", stdin="rye\nplum\nbread\n")
    np.testing.assert_allclose(json.loads(done.out)["similarity"], vectors @ vectors.T, atol=1e-5)
    table = command("similarity", "rye", "plum", "bread", "-i", "Represent it: ").out.splitlines()
    assert [line.split()[-1] for line in table] == ["rye", "plum", "bread"]


def test_an_empty_name_is_no_default(command):
    for verb in ("info", "encode"):
        done = command(verb, "-m", "", model=False)
        assert (done.code, "must be a folder or a hub id, got ''" in done.err) == (2, True)


def test_info(command, folders):
    facts = json.loads(command("info", folders["gated"], "--json", model=False).out)
    assert facts["dimensions"] == 48
    assert facts["activation"] == "gated gelu_new"
    text = command("info", folders["gated"], model=False).out
    assert "parameters" in text
    assert f"{facts['parameters']:,}" in text


def test_bench(command, folders, tmp_path):
    done = command("bench", folders["relu"], "--texts", "20", "--words", "4", "--rounds", "1", model=False)
    assert done.code == 0, done.err
    assert "texts/s" in done.out
    assert "of what matmuls of these shapes reach on this machine" in done.out
    (tmp_path / "mine.txt").write_text("One text.\nAnother.\n")
    own = ("--input", tmp_path / "mine.txt", "-i", "Represent:", "--rounds", "1", "--json")
    facts = json.loads(command("bench", folders["relu"], *own, model=False).out)
    assert facts["texts"] == 2
    wrong = command("bench", folders["relu"], "--texts", "0", model=False)
    assert wrong.code == 2
    assert "must be at least 1" in wrong.err
