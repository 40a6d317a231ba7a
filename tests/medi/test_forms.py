"""Each form that a record may have, for training and for building triples; each invalid record's error."""

import json

import pytest

from instructor_embedding import InputError, Pair
from instructor_embedding.medi import pairs
from instructor_embedding.medi.forms import Instructions, Labelled, Match, Reading, Scored
from instructor_embedding.medi.relation import Relation

Q, D = Pair("", "a query"), Pair("", "a text")
FORMS = [
    ({"query": ["Q: ", "a query"], "pos": ["D: ", "a text"], "neg": ["D: ", "no"], "task_id": 7},
     ("task 7", Match(Pair("Q: ", "a query"), (Pair("D: ", "a text"),), (Pair("D: ", "no"),)))),
    ({"query": ["Q: ", "a query"], "pos": ["D: ", "a text"], "neg": [["D: ", "no"], ["", "non"]]},
     ("file", Match(Pair("Q: ", "a query"), (Pair("D: ", "a text"),), (Pair("D: ", "no"), Pair("", "non"))))),
    ({"query": ["", "a query"], "pos": ["", "a text"], "task_id": 7, "task_name": "seven"},
     ("seven", Match(Q, (D,)))),
    ({"query": "a query", "pos": "a text", "neg": "no"}, ("file", Match(Q, (D,), (Pair("", "no"),)))),
    ({"query": "a query", "pos": ["a text", "b"], "neg": ["no", "non"]},
     ("file", Match(Q, (D, Pair("", "b")), (Pair("", "no"), Pair("", "non"))))),
    ({"anchor": "a query", "positive": "a text", "negative": "no", "negative_2": "non", "negative_3": ""},
     ("file", Match(Q, (D,), (Pair("", "no"), Pair("", "non"))))),
    ({"query": "a query", "positive": "a text", "task": "mine"}, ("mine", Match(Q, (D,)))),
    ({"anchor": "a query", "positive": "a text", "neg": []}, ("file", Match(Q, (D,)))),
    ({"text1": "a query", "text2": "a text", "score": "0.25"}, ("file", Scored(Q, D, 0.25))),
    ({"sentence1": "a query", "sentence2": "a text", "score": 4}, ("file", Scored(Q, D, 4.0))),
    ({"text": "a text", "label": 3}, ("file", Labelled(D, "3"))),
    ({"query": 5, "positive": 6.5}, ("file", Match(Pair("", "5"), (Pair("", "6.5"),)))),
    (["a query", "a text"], ("file", Match(Q, (D,)))),
    (["a query", "a text", "no"], ("file", Match(Q, (D,), (Pair("", "no"),)))),
    ({"set": ["a query", "a text", "b"]}, ("file", Match(Q, (D, Pair("", "b"))))),
]  # fmt: skip


@pytest.mark.parametrize(("record", "item"), FORMS)
def test_each_form(record, item):
    assert Reading().item(record, "file") == item


def test_instructions_come_from_record_then_table_then_flag():
    record = {"query": "a query", "positive": "a text", "negative": "no"}
    reading = Reading(table={"a*": Instructions("TQ: ", None)}, default=Instructions("FQ: ", "FD: "))
    _, item = reading.item(record, "abc")
    assert (item.query.instruction, item.positives[0].instruction, item.negatives[0].instruction) == (
        "TQ: ",
        "FD: ",
        "FD: ",
    )
    assert reading.item(record, "b")[1].query.instruction == "FQ: "
    _, item = reading.item({**record, "query_instruction": "RQ: ", "document_instruction": ""}, "abc")
    assert (item.query.instruction, item.positives[0].instruction) == ("RQ: ", "")
    _, item = reading.item({"text1": "a", "text2": "b", "score": 1, "instruction": "I: "}, "x")
    assert item.first == Pair("I: ", "a")
    _, item = reading.item({"query": ["", "a"], "pos": ["", "b"]}, "x")
    assert item.query.instruction == ""


def lines(path, *records):
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


@pytest.mark.parametrize(("record", "item"), FORMS)
def test_each_form_becomes_relations(record, item, tmp_path):
    """What training reads as an item, a build of triples reads as relations of the same texts and instructions."""
    task, item = item
    relations = list(pairs.read(lines(tmp_path / "file.jsonl", record)))
    if isinstance(item, Scored):  # 4 of 5 is a match, 0.25 of 1 is not
        assert relations == ([Relation("a query", "a text")] if item.score == 4 else [])
        return
    assert {relation.task for relation in relations} == {"" if task == "file" else task}
    if isinstance(item, Labelled):
        assert relations == [Relation("a text", "3")]
    elif "set" in record:
        assert relations == [Relation("a query", "a text", group="a query"), Relation("a text", "b", group="a query")]
    else:
        assert [relation.pos for relation in relations] == [pair.text for pair in item.positives]
        assert {relation.query for relation in relations} == {item.query.text}
        assert {relation.neg for relation in relations} <= {"", *(pair.text for pair in item.negatives)}
        instructions = (item.query.instruction, item.positives[0].instruction)
        assert relations[0].instructions == (instructions if any(instructions) else None)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("a text", "found str 'a text'; a record is {query"),
        ({"query": "a"}, "the field 'pos' is missing"),
        ({"quary": "a", "pos": "b"}, "the field 'query' is missing; did you mean 'quary'?"),
        ({"title": "a", "body": "b"}, "the columns 'title', 'body' are none of"),
        ({}, "the record is empty"),
        ({"query": "a", "pos": " "}, "the text of pos is empty"),
        ({"query": "", "pos": "b"}, "the text of query is empty"),
        ({"query": "a", "pos": []}, "pos is empty; a query needs"),
        ({"query": "a", "pos": {"x": 1}}, "the text of pos is dict"),
        ({"query": "a", "pos": ["Represent it: ", "b"]}, "pos looks like [instruction, text]; then query"),
        ({"query": ["", "a"], "pos": "b"}, "pos is str 'b'; it must be [instruction, text], as query is"),
        ({"query": ["", "a"], "pos": ["x"]}, "pos is list ['x']; it must be a text or"),
        ({"query": "a", "anchor": "a", "pos": "b"}, "two columns hold the query"),
        ({"text1": "a", "text2": "b"}, "the field 'score' is missing"),
        ({"text1": "a", "text2": "b", "score": "high"}, "score is str 'high'; it must be a number"),
        ({"text1": "a", "text2": "b", "score": float("nan")}, "score is float nan"),
        ({"text": "a"}, "the field 'label' is missing"),
        ({"text": "a", "label": " "}, "label is str ' '"),
        ({"text": "a \ud800", "label": "x"}, "the text of text has half of a surrogate pair"),
        ({"query": "a", "pos": "b", "task": 1.5}, "the task is float 1.5"),
        ({"query": "a", "pos": "b", "query_instruction": 3}, "the instruction is int 3"),
        (["a"], "found list ['a']; a record is {query"),
        ({"set": ["a"]}, "set is list ['a']; it must be a list of at least two texts"),
        ({"set": ["a", ""]}, "the text of set is empty"),
    ],
)
def test_each_broken_record(record, message, tmp_path):
    """Both readers name file and line, and say the same."""
    data = pytest.importorskip("instructor_embedding.training.data")
    settings = pytest.importorskip("instructor_embedding.training.settings")
    path = lines(tmp_path / "a.jsonl", {"query": "a", "pos": "b"}, record)
    for read in (
        lambda: list(pairs.read(path)),
        lambda: data.read_data(settings.DataSettings(train_file=[str(path)]), seed=0),
    ):
        with pytest.raises(InputError) as error:
            read()
        assert f"{path}, line 2: {message}" in str(error.value)
    rejects = []
    assert list(pairs.read(path, rejects.append)) == [Relation("a", "b")]
    assert rejects[0].position == "line 2"
