"""The record and its files: round trips in every format, and errors that name position and field."""

import gzip
import json

import pytest

from instructor_embedding import InputError, Pair
from instructor_embedding.medi.triple import Triple, TripleFile, read, write

GOOD = {
    "query": [
        "Represent the Wikipedia question for retrieving supporting documents;",
        "which bird lays the largest eggs",
    ],
    "pos": ["Represent the Wikipedia document for retrieval;", "The ostrich lays the largest eggs of all birds."],
    "neg": ["Represent the Wikipedia document for retrieval;", "Eggs are boiled for ten minutes."],
    "task_id": 1,
}
TRIPLES = [
    Triple(
        Pair("Represent it: ", f"text {n} é"),
        Pair("", f"positive\n{n}"),
        Pair("", f"negative {n}"),
        n % 3,
        f"task {n % 3}",
    )
    for n in range(50)
]


def saved(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_round_trip(name, tmp_path):
    pytest.importorskip({"zst": "zstandard", "parquet": "pyarrow"}.get(name.rsplit(".")[-1], "json"))
    assert write(tmp_path / name, iter(TRIPLES)) == 50
    assert list(read(tmp_path / name)) == TRIPLES
    first = (tmp_path / name).read_bytes()
    write(tmp_path / name, TRIPLES)
    assert (tmp_path / name).read_bytes() == first
    file = TripleFile(tmp_path / name)
    assert [file[position] for position in (49, 0, 7)] == [TRIPLES[49], TRIPLES[0], TRIPLES[7]]
    assert file.tasks.tolist() == [triple.task for triple in TRIPLES]


def test_the_originals_form(tmp_path):
    path = saved(tmp_path / "medi-data.json", [GOOD, {**GOOD, "task_name": "nq"}])
    first, second = read(path)
    assert first.query == Pair(*GOOD["query"])
    assert (first.task, second.task_name) == (1, "nq")
    old = {key: value for key, value in GOOD.items() if key != "task_id"}
    path = saved(tmp_path / "old.json", [{**old, "task_name": name} for name in ("b", "a", "b")])
    assert [triple.task for triple in read(path)] == [0, 1, 0]


BROKEN = {
    "no list": ("{", "invalid JSON"),
    "cut off": (json.dumps([GOOD])[:-30], "item 1"),
    "a number": ([3], "item 1: the record is int 3"),
    "a list": ([[1, 2]], "the record is list"),
    "null": ([None], "the record is null"),
    "no query": ([{k: v for k, v in GOOD.items() if k != "query"}], "'query' is missing"),
    "no pos": ([{k: v for k, v in GOOD.items() if k != "pos"}], "'pos' is missing"),
    "no neg": ([{k: v for k, v in GOOD.items() if k != "neg"}], "'neg' is missing"),
    "misspelled": ([{**{k: v for k, v in GOOD.items() if k != "pos"}, "poss": 1}], "did you mean 'poss'"),
    "no task": ([{k: v for k, v in GOOD.items() if k != "task_id"}], "'task_id' is missing"),
    "a bare text": ([{**GOOD, "pos": "text"}], "for no instruction write"),
    "one element": ([{**GOOD, "pos": ["text"]}], "pos has 1 elements"),
    "three elements": ([{**GOOD, "neg": ["a", "b", "c"]}], "neg has 3 elements"),
    "no elements": ([{**GOOD, "neg": []}], "neg has 0 elements"),
    "lists in a list": ([{**GOOD, "neg": [["a", "b"], ["c", "d"]]}], "a list of 2 lists"),
    "null text": ([{**GOOD, "query": ["a", None]}], "text of query is null"),
    "null instruction": ([{**GOOD, "query": [None, "a"]}], "instruction of query is null"),
    "a list as text": ([{**GOOD, "query": ["a", ["b"]]}], "text of query is list"),
    "an object as text": ([{**GOOD, "query": ["a", {}]}], "text of query is dict"),
    "a truth as text": ([{**GOOD, "query": ["a", True]}], "text of query is bool"),
    "an empty text": ([{**GOOD, "query": ["a", ""]}], "text of query is empty"),
    "a blank text": ([{**GOOD, "pos": ["a", " \n"]}], "text of pos is empty"),
    "half a character": (
        '[{"query": ["a", "\\ud800"], "pos": ["", "b"], "neg": ["", "c"], "task_id": 1}]',
        "surrogate",
    ),
    "task is a text and a name": ([{**GOOD, "task_id": "x", "task_name": "y"}], "task_id is str"),
    "task is a truth": ([{**GOOD, "task_id": True}], "task_id is bool"),
    "task is a fraction": ([{**GOOD, "task_id": 1.5}], "task_id is float"),
    "task is a list": ([{**GOOD, "task_id": [1]}], "task_id is list"),
    "task is too large": ([{**GOOD, "task_id": 2**40}], "fit in 32 bits"),
    "name is a list": ([{**GOOD, "task_name": [1]}], "task_name is list"),
    "no comma": (json.dumps([GOOD]).replace("]}", "]}")[:-1] + " " + json.dumps(GOOD) + "]", "expected ',' or ']'"),
    "more behind": (json.dumps([GOOD]) + "x", "after the list's end"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_lists(name, tmp_path):
    content, message = BROKEN[name]
    with pytest.raises(InputError) as caught:
        list(read(saved(tmp_path / "x.json", content)))
    assert "x.json" in str(caught.value)
    assert message in str(caught.value)


LINE = json.dumps(GOOD)
BROKEN_FILES = {
    "x.jsonl": {
        "second line": (f"{LINE}\n{{\n", "line 2: invalid JSON"),
        "latin-1": (LINE.encode() + b"\n\xe9\n", "not UTF-8"),
        "field": (f"{LINE}\n\n{LINE.replace('neg', 'net')}\n", "line 3"),
        "nested": ("[" * 100_000, "invalid JSON"),
    },
    "x.jsonl.gz": {"cut off": (gzip.compress(LINE.encode() * 1000)[:-20], "truncated or corrupt")},
    "x.parquet": {"text": (b"PAR", "not a parquet file")},
}


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, cases in BROKEN_FILES.items() for name in cases])
def test_broken_files(file, name, tmp_path):
    content, message = BROKEN_FILES[file][name]
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        list(read(tmp_path / file))
    assert file in str(caught.value)
    assert message in str(caught.value)


def test_places_that_are_no_files(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        list(read(tmp_path / "nothing.jsonl"))
    with pytest.raises(InputError, match="it is a folder"):
        list(read(tmp_path))
    with pytest.raises(InputError, match="the extension is not a format"):
        write(tmp_path / "x.txt", TRIPLES)
    with pytest.raises(InputError, match="there is no folder"):
        write(tmp_path / "no" / "x.json", TRIPLES)


def test_rejects_are_set_aside(tmp_path):
    rejects = []
    path = saved(tmp_path / "x.jsonl", "\n".join([LINE, "{", LINE, json.dumps({**GOOD, "pos": ["a"]}), LINE]))
    assert len(list(read(path, rejects.append))) == 3
    assert [reject.position for reject in rejects] == ["line 2", "line 4"]
    assert "pos has 1 elements" in rejects[1].why


def test_nothing_half_written(tmp_path):
    def failing():
        yield TRIPLES[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(tmp_path / "x.jsonl", failing())
    assert not list(tmp_path.iterdir())
