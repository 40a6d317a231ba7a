"""The index in every store: what goes in comes out, and what does not fit is refused."""

import json

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, InputError
from instructor_embedding.files import manifest as manifests
from instructor_embedding.index.index import Added, Index
from instructor_embedding.index.rows import Row
from instructor_embedding.vectors import unit
from tests.index.conftest import COLUMNS, ROWS
from tests.index.words import Words

SHARDS = ("parquet", "usearch")  # stores that are appended to, never changed


def expected(model, query, rows, query_instruction="Find: ", instruction="Represent it: "):
    vector = unit(model.encode([[query_instruction, query]]))
    texts = unit(model.encode([[instruction, row["text"]] for row in rows]))
    scores = (texts @ vector[0]).tolist()
    order = np.argsort(-np.array(scores), kind="stable")
    return [(rows[number]["id"], scores[number]) for number in order]


def test_search_is_exact(index, models):
    for query in ("bread", "copper"):
        matches = index.search(query, 4)
        neighbors = expected(models["relu"], query, ROWS)
        assert [match.id for match in matches] == [name for name, _ in neighbors]
        np.testing.assert_allclose([match.score for match in matches], [score for _, score in neighbors], atol=1e-5)
    row = {match.id: match for match in index.search("bread", 4)}["b"]
    assert (row.text, dict(row.payload)) == (ROWS[1]["text"], {"topic": "metal", "year": 2020})


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("year > 2000", "bc"),
        ("topic = 'food' and year < 2000", "a"),
        ("topic != 'food'", "b"),
        ("topic is null", "d"),
        ("topic is not null and not year = 1999", "bc"),
        ("topic in ('metal', 'x') or id = 'a'", "ab"),
        ("not topic in ('metal')", "ac"),
        ("year >= 1999 and (topic = 'metal' or year = 2021)", "bc"),
    ],
)
def test_filters(index, where, ids):
    assert "".join(sorted(match.id for match in index.search("bread", 10, where=where))) == ids


def test_rows_are_stored_once(index, target):
    assert index.add(ROWS) == Added(0, 0, 4)
    assert index.add([*ROWS, {"id": "e", "text": "tin", "topic": "metal"}]) == Added(1, 0, 4)
    assert len(index) == 5
    changed = {**ROWS[0], "text": "rye rolls"}
    if target[1] in SHARDS:
        with pytest.raises(InputError, match="build the index again with a store that changes rows"):
            index.add([changed])
        return
    assert index.add([changed, {**ROWS[1], "year": 2022}]) == Added(0, 2, 0)
    assert len(index) == 5
    assert [match.payload["year"] for match in index.search("copper", 5) if match.id == "b"] == [2022]


def test_delete(index, target):
    if target[1] in SHARDS:
        with pytest.raises(InputError, match="are not deleted; build"):
            index.delete(["a"])
        return
    assert index.delete(["a", "nothing"]) == 1
    assert index.delete(where="topic = 'metal'") == 1
    assert index.delete(["c"], where="topic = 'metal'") == 0
    assert index.delete(["d"]) == 1
    assert [match.id for match in index.search("bread")] == ["c"]
    with pytest.raises(InputError, match="--id ID, or --where"):
        index.delete()


def test_a_second_field(index, target, models):
    if target[1] in SHARDS:
        with pytest.raises(InputError, match="no further field"):
            index.add_field("mood", "Represent the mood: ")
        return
    assert index.add_field("mood", "Represent the mood: ") == 4
    assert index.add_field("mood", "Represent the mood: ") == 0
    first = index.search("bread", 4, field="mood")
    rows = expected(models["relu"], "bread", ROWS, "Represent the mood: ", "Represent the mood: ")
    np.testing.assert_allclose([match.score for match in first], [score for _, score in rows], atol=1e-5)
    index.add([{"id": "e", "text": "tin"}])
    assert "e" in {match.id for match in index.search("tin", 5, field="mood")}
    with pytest.raises(InputError, match="name another field"):
        index.add_field("mood", "Represent another: ")
    reopened = Index.open(index.store.location, models["relu"])
    assert list(reopened.manifest.fields) == ["embedding", "mood"]
    reopened.close()


def test_an_incomplete_field_is_not_searched(index, target, models):
    if target[1] in SHARDS:
        pytest.skip("shards get no further field")

    def stop(texts):
        raise KeyboardInterrupt

    index.model.encoder, encoder = type("Stopped", (), {"encode": staticmethod(stop)})(), index.model.encoder
    with pytest.raises(KeyboardInterrupt):
        index.add_field("mood", "Represent the mood: ")
    index.model.encoder = encoder
    with pytest.raises(InputError, match="not a vector for every row yet; give the command"):
        index.search("bread", field="mood")
    assert index.search("bread")
    assert index.add_field("mood", "Represent the mood: ") == 4
    assert index.search("bread", field="mood")


def test_hybrid(index, target):
    if target[1] in (*SHARDS, "qdrant") or target[0].startswith("qdrant:"):
        with pytest.raises(InputError, match="full text"):
            index.search("bread", mode="hybrid")
        return
    index.optimize()
    matches = index.search("walnuts", 4, mode="hybrid")
    assert "a" in [match.id for match in matches[:2]]
    assert all(
        match.payload["topic"] == "food" for match in index.search("bread", mode="hybrid", where="topic = 'food'")
    )


REFUSALS = {
    "query instruction": ({"instruction": "Represent it: "}, "are encoded with 'Find: '.*--field NAME"),
    "field": ({"field": "embeding"}, "did you mean 'embedding'"),
    "column": ({"where": "yaer = 3"}, "did you mean 'year'"),
    "filter": ({"where": "year ="}, "a value is expected"),
    "type": ({"where": "topic > 3"}, "--keep topic:int"),
    "unclosed": ({"where": "(year = 3"}, "a parenthesis is not closed"),
    "mode": ({"mode": "fuzzy"}, "known: auto, exact"),
    "k": ({"k": 0}, "k must be an integer"),
    "query": ({"query": " "}, "must be a text"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_of_a_search(index, name):
    arguments, message = REFUSALS[name]
    with pytest.raises(InputError, match=message):
        index.search(**{"query": "bread"} | arguments)


def test_refusals_of_rows(index):
    with pytest.raises(
        InputError, match=r"rows\[0\] has the column 'colour'; .* are: topic, year; leave it out, .* --keep colour"
    ):
        index.add([{"text": "x", "colour": 1}])
    with pytest.raises(InputError, match=r"has the instruction 'Other: '.*--field NAME -i 'Other: '"):
        index.add([Row("x", "x", {}, "Other: ", "f.csv, line 2")])


def test_another_model_is_refused(index, models):
    location = index.store.location
    with pytest.raises(InputError, match=r"is another model .*use -m"):
        Index.open(location, models["gated"])
    with pytest.raises(InputError, match="is an index already"):
        Index.create(location, models["relu"])
    Index.open(location, models["relu"]).close()


def test_another_precision_is_refused(index):
    index.model.precision = "int8"
    with pytest.raises(InputError, match="use --precision exact"):
        Index.open(index.store.location, index.model)


def test_another_dimension_is_refused(index, models):
    index.model.encoder.encode, encode = lambda pairs: np.ones((len(pairs), 3), np.float32), index.model.encoder.encode
    with pytest.raises(InputError, match=r"dimensions, and .* makes 3"):
        index.search("bread")
    index.model.encoder.encode = encode


def test_a_later_version_is_refused(tmp_path, models):
    index = Index.create(str(tmp_path / "i"), models["relu"], store="parquet")
    path = tmp_path / "i" / manifests.NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    with pytest.raises(InputError, match=r"of version 99.*pip install -U instructor-embed"):
        Index.open(index.store.location)
    path.write_text("{}")
    with pytest.raises(InputError, match="is not the manifest of an index"):
        Index.open(index.store.location)
    with pytest.raises(InputError, match=r"is not an index: .* make one: instructor-embed index build"):
        Index.open(str(tmp_path / "nothing"))
    file = tmp_path / "vectors.parquet"
    file.touch()
    with pytest.raises(InputError, match=r"is a file, not an index; .* index build .*vectors.parquet -o NEW"):
        Index.open(str(file))
    with pytest.raises(InputError, match=r"is a file, not an index; .* -o NEW"):
        Index.create(str(file), Words())


def test_the_model_is_loaded_by_the_manifest(tmp_path, folders):
    Index.create(str(tmp_path / "i"), str(folders["relu"]), columns=COLUMNS, store="parquet").add(ROWS)
    with Index.open(str(tmp_path / "i")) as index:
        assert index.search("bread", 1)
    with Index.open(str(tmp_path / "i"), INSTRUCTOR(folders["relu"], device="cpu")) as index:
        assert index.search("bread", 1)


@pytest.mark.parametrize("store", SHARDS)
def test_candidates_include_the_exact_neighbors(tmp_path, store):
    if store == "usearch":
        pytest.importorskip("usearch", reason="usearch is not installed")
    texts = [f"a{number % 7} b{number % 31} c{number % 101} d{number}" for number in range(2000)]
    index = Index.create(str(tmp_path / "i"), Words(), store=store)
    index.add(texts[:1500])
    index.optimize(approximate=True)
    index.add(texts[1500:])
    shared = 0
    for query in texts[::100]:
        exact = {match.id for match in index.search(query, 10, mode="exact")}
        shared += len(exact & {match.id for match in index.search(query, 10, mode="approximate")})
    assert shared >= 0.95 * 200


def test_one_writer_of_shards(tmp_path):
    first = Index.create(str(tmp_path / "i"), Words(), store="parquet")
    second = Index.open(str(tmp_path / "i"), Words())
    first.add(["rye"])
    with pytest.raises(InputError, match="another process adds rows"):
        second.add(["zinc"])
    assert len(second.search("rye")) in (0, 1)
    first.close()
    second.add(["zinc"])
    assert len(second) == 2
