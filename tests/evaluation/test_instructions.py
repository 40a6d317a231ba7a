"""Instructions: the published ones are data, a user's table has precedence, a default comes last."""

import hashlib
import json

import pytest

from instructor_embedding import InputError
from instructor_embedding.evaluation.instructions import Instructions, facts, published
from tests.conftest import SHARED

ROWS = SHARED / "reference" / "eval_instructions.json"


def test_published():
    assert sum(len(fact.models) for fact in facts()) >= 279
    assert str(published("EmotionClassification", model="large")).endswith("for classifying the emotion: ")
    assert published("ArguAna.v2", "query", "base") == published("ArguAna", "query", "base")
    assert published("ArguAna", "text") is None


@pytest.mark.skipif(not ROWS.is_file(), reason="the shared reference is not here")
def test_every_published_instruction_is_exact():
    rows = json.loads(ROWS.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 310
    ours = {}
    for fact in facts():
        for model in fact.models:
            ours.setdefault((fact.benchmark, fact.dataset, model), set()).add(
                hashlib.sha1(str(fact).encode()).hexdigest()[:8]
            )
    checked = 0
    for row in rows:
        model = row["model"].rpartition("-")[2]
        hashes = ours.get((row["benchmark"], row["dataset"], model), set())
        if row["category"] != "BitextMining" and model in ("base", "large", "xl"):
            assert row["sha1_8"] in hashes, row
            checked += 1
    assert checked > 250


def test_order(tmp_path):
    table = {"SciFact": {"query": "A: ", "document": "B: "}, "STS": "C: ", "*": "D: "}
    (tmp_path / "table.json").write_text(json.dumps(table))
    chosen = Instructions(tmp_path / "table.json")
    assert chosen.choose("SciFact", "Retrieval", "document").instruction == "B: "
    assert chosen.choose("STS12", "STS").source == "table.json (STS)"
    assert chosen.choose("Banking77Classification", "Classification").instruction == "D: "
    assert Instructions("default").choose("SciFact", "Retrieval", "query").source == "default (Retrieval)"
    assert Instructions("none").choose("SciFact", "Retrieval", "query").instruction == ""
    unknown = Instructions().choose("NoSuchTask", "NoSuchType")
    assert (unknown.instruction, unknown.source) == ("Represent the sentence: ", "default (NoSuchType)")


@pytest.mark.parametrize(
    ("table", "message"),
    [({"a": {"querry": "x"}}, "has the side 'querry'"), ({"a": 3}, "must be a string"), ([], "is not a table")],
)
def test_broken_tables(table, message, tmp_path):
    (tmp_path / "table.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match=message):
        Instructions(tmp_path / "table.json")
    with pytest.raises(InputError, match="is none of published"):
        Instructions("publishd")
