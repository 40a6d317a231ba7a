"""Readers of source formats: what they yield, and their errors."""

import gzip
import json

import pytest

from instructor_embedding import InputError
from instructor_embedding.medi import kilt, medmcqa, pairs, squad, super_ni
from instructor_embedding.medi.relation import Relation
from instructor_embedding.medi.source import sources
from instructor_embedding.medi.wording import KINDS, KNOWN, WORDINGS, Facts, known, of_task, sides


def lines(path, *records):
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return path


def test_pairs(tmp_path):
    path = lines(
        tmp_path / "x.jsonl",
        ["a", "b"],
        ["a ", "b", "c"],
        {"set": ["d", "e", "f"]},
        {"query": "q", "pos": ["p", "r"], "neg": ["n"]},
        {"query": "q", "pos": "p"},
    )
    assert list(pairs.read(path)) == [
        Relation("a", "b"),
        Relation("a", "b", "c"),
        Relation("d", "e", group="d"),
        Relation("e", "f", group="d"),
        Relation("q", "p", "n"),
        Relation("q", "r", "n"),
        Relation("q", "p"),
    ]


MEDMCQA = {"question": "Which?", "opa": "one", "opb": "two", "opc": "three", "opd": "four", "cop": 2, "exp": None}


def test_medmcqa(tmp_path):
    last = {**MEDMCQA, "cop": 4, "exp": "As four is right."}
    path = lines(tmp_path / "medmcqa.jsonl", MEDMCQA, last)
    assert list(medmcqa.read(path)) == [
        Relation("Which?", "two", "three"),
        Relation("Which?", "four", "one"),
    ]
    assert list(medmcqa.read_explanations(path)) == [Relation("Which?", "As four is right.")]
    for wrong in ({"cop": 0}, {"cop": 5}, {"cop": "1"}, {"opa": None}, {"question": " "}, {"exp": 3}):
        field = next(iter(wrong))
        with pytest.raises(InputError, match=f"line 1: {field} is"):
            list(medmcqa.read(lines(tmp_path / "x.jsonl", MEDMCQA | wrong)))


def test_squad(tmp_path):
    questions = [{"question": "Who?"}, {"question": "When?", "is_impossible": True}]
    content = {"data": [{"paragraphs": [{"context": " It was she. ", "qas": questions}]}]}
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    assert list(squad.read(tmp_path / "x.json.gz")) == [Relation("Who?", "It was she.")]
    with pytest.raises(InputError, match="not in SQuAD's form"):
        list(squad.read(lines(tmp_path / "y.json", {"data": 3})))


def test_kilt(tmp_path):
    record = {
        "id": "1",
        "input": "who sang it",
        "output": [
            {"answer": "She"},
            {"provenance": [{"wikipedia_id": "7", "title": "Song", "start_paragraph_id": 1, "end_paragraph_id": 2}]},
            {"provenance": [{"wikipedia_id": "8", "title": "Other", "section": "Section::::Life."}]},
        ],
    }
    path = lines(tmp_path / "nq-train-kilt.jsonl", record)
    assert list(kilt.read(path)) == [Relation("who sang it", "Song"), Relation("who sang it", "Other: Life")]
    page = {"wikipedia_id": "7", "wikipedia_title": "Song", "text": ["Song", "She sang it.", "Often.", "More."]}
    knowledge = json.dumps(page) + "\n" + json.dumps({**page, "wikipedia_id": "9"})
    (tmp_path / "kilt_knowledgesource.json").write_text(knowledge)
    assert next(kilt.read(path)) == Relation("who sang it", "She sang it. Often.")
    for wrong in ({"input": ""}, {"output": 3}, {"output": [{"provenance": 3}]}, {"output": ["text"]}):
        with pytest.raises(InputError, match="line 1"):
            list(kilt.read(lines(tmp_path / "x.jsonl", record | wrong)))


def test_super_ni_in_its_three_schemas(tmp_path):
    instances = [{"input": f"text {n}", "output": [("yes", "no")[n % 2]]} for n in range(20)]
    new = {
        "task_name": "task1_imdb_classification",
        "Definition": ["Say whether."],
        "Categories": ["Sentiment Analysis"],
        "Domains": ["Reviews -> Movies"],
        "Instance License": ["CC BY 4.0"],
        "Instances": [*instances, instances[0], {"input": "", "output": ["yes"]}],
    }
    old = {
        "task_name": "subtask2_drop_answer_generation",
        "Definition": "Answer.",
        "Examples": {},
        "Instances": [{"input": f"q{n}", "output": f"a{n}"} for n in range(9)],
    }
    first, second = super_ni.read(lines(tmp_path / "tasks.jsonl", new, old))
    assert len(first.inputs) == 20
    assert first.is_classification
    assert not second.is_classification
    assert second.outputs[8] == "a8"
    assert (first.licence, second.licence) == ("CC BY 4.0", "")
    assert first.facts == Facts("Movies", "sentiment analysis input", "imdb classification", "task")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "task9_x.json").write_text(json.dumps({k: v for k, v in new.items() if k != "task_name"}))
    assert next(super_ni.read(tmp_path / "folder")).name == "task9_x"
    for wrong in ({"Instances": 3}, {"Instances": ["x"]}, {"task_name": ""}):
        with pytest.raises(InputError, match="line 1"):
            list(super_ni.read(lines(tmp_path / "x.jsonl", new | wrong)))
    rejects = []
    wrong = {"Instances": [*instances, {"input": "text"}, {"input": 3, "output": "x"}]}
    (task,) = super_ni.read(lines(tmp_path / "x.jsonl", new | wrong), rejects.append)
    assert len(task.inputs) == 20
    assert [reject.why.partition(": ")[2] for reject in rejects] == [
        "output is None; it must be a string",
        "input is 3; it must be a string",
    ]


def test_instructions():
    assert sides(Facts("web", "question", "answer", "question answering"), 1) == (
        "Represent the web question for retrieving a supporting answer: ",
        "Represent the web answer for being retrieved: ",
    )
    query, document = sides(Facts("Quora", "question", "question", "duplicate"))
    assert query == document == "Represent the Quora question for retrieving duplicates: "
    assert sides(Facts("", "tweet", "emoji", "label"))[0] == "Represent the tweet for classification by emoji: "
    for kind in KINDS:
        wordings = {sides(Facts("law", "question", "answer", kind), wording) for wording in range(WORDINGS)}
        assert len(wordings) == WORDINGS
        assert all(side.startswith("Represent the law ") for pair in wordings for side in pair)
    with pytest.raises(InputError, match="did you mean 'label'"):
        sides(Facts("", "a", "b", "labels"))


def test_known_sources():
    assert known("gooaq_pairs").query == "question"
    assert known("alLnli") is KNOWN["AllNLI"]
    assert all(facts.kind in KINDS for facts in KNOWN.values())
    with pytest.raises(InputError, match=r"no facts for the source 'gooaq_pair'; did you mean 'gooaq_pairs'"):
        known("gooaq_pair")


def test_task_without_metadata():
    assert of_task("task7", [], []).query == "input"
    assert sides(of_task("task12_a_b-c", ["X -> Y"], ["Miscellaneous"]))[0] == "Represent the x input for a b c: "


def test_sources(tmp_path):
    lines(tmp_path / "quora_duplicates.jsonl", ["a", "b"])
    (tmp_path / "super_ni").mkdir()
    task = {"Definition": "Say whether.", "Instances": []}
    lines(tmp_path / "super_ni" / "tasks.jsonl", task)
    (tmp_path / "task7_x.json").write_text(json.dumps(task, indent=1))
    lines(tmp_path / "mine.jsonl", ["a", "b"])
    with pytest.raises(InputError, match="no facts for the source 'mine'"):
        sources(tmp_path)
    entry = {
        "file": "mine.jsonl",
        "domain": "law (cases)",
        "text_types": ["case"],
        "kind": "duplicate",
        "licence": "CC0",
    }
    (tmp_path / "SOURCES.json").write_text(json.dumps({"pairs": [entry]}))
    listed = {source.name: source for source in sources(tmp_path)}
    assert list(listed) == ["mine", "quora_duplicates", "task7_x", "tasks"]
    assert listed["mine"].facts == Facts("law", "case", "case", "duplicate")
    assert listed["mine"].licence == "CC0"
    assert listed["tasks"].facts is listed["task7_x"].facts is None
    (tmp_path / "SOURCES.json").write_text(json.dumps({"pairs": [{"file": "mine.jsonl", "domain": "law"}]}))
    with pytest.raises(InputError, match=r"lacks text_types and kind for mine\.jsonl"):
        sources(tmp_path)
    (tmp_path / "SOURCES.json").write_text("[")
    with pytest.raises(InputError, match="is not a catalog of sources"):
        sources(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        sources(tmp_path / "nothing")


def test_medmcqa_is_two_sources(tmp_path):
    lines(tmp_path / "medmcqa_dev.jsonl", {**MEDMCQA, "exp": "As two is right."})
    answers, explained = sources(tmp_path)
    assert (answers.name, explained.name) == ("medmcqa_dev", "medmcqa_dev_explanations")
    assert next(answers.relations()).pos == "two"
    assert next(explained.relations()).pos == "As two is right."
    assert explained.facts.pos == "explanation"


def test_a_file_other_than_the_catalog_states(tmp_path):
    lines(tmp_path / "quora_duplicates.jsonl", ["a", "b"])
    entry = {"file": "quora_duplicates.jsonl", "domain": "", "text_types": ["question"], "kind": "duplicate"}
    for digest, good in (("0" * 64, False), (sources(tmp_path)[0].checked(), True)):
        (tmp_path / "SOURCES.json").write_text(json.dumps({"pairs": [entry | {"sha256": digest}]}))
        (source,) = sources(tmp_path)
        if good:
            assert source.checked() == digest
        else:
            with pytest.raises(InputError, match=r"is not the file that SOURCES\.json names"):
                source.checked()


def test_a_format_comes_from_the_catalog_or_from_the_first_record(tmp_path):
    """Names of files and folders decide nothing: a folder called super_ni may have pairs."""
    (tmp_path / "super_ni_squad").mkdir()
    lines(tmp_path / "super_ni_squad" / "kilt_medmcqa.jsonl", ["q", "a"], ["r", "b"])
    lines(tmp_path / "exam.jsonl", MEDMCQA)
    squad_file = {"data": [{"paragraphs": [{"context": "C", "qas": [{"question": "Q?"}]}]}]}
    (tmp_path / "reading.json").write_text(json.dumps(squad_file, indent=1))
    lines(tmp_path / "other.jsonl", {"id": "1", "input": "q", "output": [{"provenance": [{"title": "T"}]}]})
    facts = {"text_types": ["question", "answer"], "kind": "question answering"}
    names = ["super_ni_squad/kilt_medmcqa.jsonl", "reading.json", "other.jsonl"]
    catalog = {"sources": [{"file": name, **facts} for name in names]}
    (tmp_path / "SOURCES.json").write_text(json.dumps(catalog))
    listed = {source.name: source for source in sources(tmp_path)}
    formats = {"exam": "medmcqa", "kilt_medmcqa": "pairs", "other": "kilt", "reading": "squad"}
    assert {name: listed[name].format for name in formats} == formats
    assert listed["reading"].assumed == "format squad, from its first record"
    assert next(listed["reading"].relations()) == Relation("Q?", "C")
    catalog["sources"][1]["format"] = "squad"
    (tmp_path / "SOURCES.json").write_text(json.dumps(catalog))
    assert {source.name: source.assumed for source in sources(tmp_path)}["reading"] == ""
    catalog["sources"][1]["format"] = "squat"
    (tmp_path / "SOURCES.json").write_text(json.dumps(catalog))
    with pytest.raises(InputError, match=r"reading\.json: format='squat' is unknown; did you mean 'squad'"):
        sources(tmp_path)


@pytest.mark.parametrize(
    ("record", "relation"),
    [
        ({"anchor": "a", "positive": "b", "negative": "c"}, Relation("a", "b", "c")),
        ({"query": "a", "positive": ["b"], "negative": []}, Relation("a", "b")),
        ({"query": "a", "positive": "b"}, Relation("a", "b")),
        ({"question": "a", "answer": "b", "id": 3}, Relation("a", "b")),
        ({"text": "a", "label": "b"}, Relation("a", "b")),
    ],
)
def test_objects_with_a_field_for_each_side(record, relation, tmp_path):
    assert list(pairs.read(lines(tmp_path / "x.jsonl", record))) == [relation]


@pytest.mark.parametrize(("scale", "scores"), [(1, [0.1, 0.8, 1]), (5, [1, 4, 5]), (100, [4, 80.0, "99"])])
def test_scored_pairs_match_from_four_fifths_of_the_scale(scale, scores, tmp_path):
    records = [{"text1": f"a{n}", "text2": f"b{n}", "score": score} for n, score in enumerate(scores)]
    assert list(pairs.read(lines(tmp_path / "x.jsonl", *records))) == [Relation("a1", "b1"), Relation("a2", "b2")]
    with pytest.raises(InputError, match="line 1: score is str 'high'; it must be a number"):
        list(pairs.read(lines(tmp_path / "x.jsonl", {"text1": "a", "text2": "b", "score": "high"})))


def test_an_objective_replaces_the_wordings():
    facts = Facts("law", "question", "clause", "question answering", "retrieving the clause that answers it")
    assert (
        sides(facts, 0)
        == sides(facts, 2)
        == (
            "Represent the law question for retrieving the clause that answers it: ",
            "Represent the law clause for retrieval: ",
        )
    )
