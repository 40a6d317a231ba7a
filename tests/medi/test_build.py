"""The whole way from sources to a checked file."""

import json
import sys

import numpy as np
import pytest

from instructor_embedding import InputError
from instructor_embedding.cli.main import main
from instructor_embedding.medi import super_ni
from instructor_embedding.medi.build import Options, build, of_task
from instructor_embedding.medi.check import check
from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.lexical import Lexical
from instructor_embedding.medi.triple import read
from tests.conftest import SHARED

pytest.importorskip("sklearn")

TOPICS = {
    "sports": "the team won the match goal",
    "food": "bread soup cheese and rice",
    "law": "court judge ruled on appeal",
}


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "sources"
    (home / "super_ni").mkdir(parents=True)
    items = [(n, *topic) for topic in TOPICS.items() for n in range(8)]
    questions = [[f"what is item {n} of {topic}", f"item {n}: {text}"] for n, topic, text in items]
    labels = [[f"{text} number {n}", topic] for n, topic, text in items]
    task = {
        "task_name": "task1_topic_classification",
        "Categories": ["Text Categorization"],
        "Domains": ["News"],
        "Instances": [{"input": text, "output": [label]} for text, label in labels],
    }
    for name, records in {"qa": questions, "topics": labels, "super_ni/tasks": [task]}.items():
        content = "\n".join(json.dumps(record) for record in records)
        (home / f"{name}.jsonl").write_text(content, encoding="utf-8")
    entries = [
        {
            "file": "qa.jsonl",
            "domain": "test",
            "text_types": ["question", "answer"],
            "kind": "question answering",
            "licence": "CC0",
        },
        {"file": "topics.jsonl", "domain": "news", "text_types": ["text", "topic"], "kind": "label"},
    ]
    (home / "SOURCES.json").write_text(json.dumps({"pairs": entries}))
    return home


def test_build(folder, tmp_path):
    told = []
    manifest = build(folder, tmp_path / "out.jsonl", told=told.append)
    triples = list(read(tmp_path / "out.jsonl"))
    assert manifest.triples == len(triples) == 72
    assert manifest.tasks == len({triple.task for triple in triples}) == len(told) == 3
    saved = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert [source["name"] for source in saved["sources"]] == ["qa", "task1_topic_classification", "topics"]
    assert saved["sources"][0]["licence"] == "CC0"
    for triple in triples:
        assert triple.neg.text not in (triple.pos.text, triple.query.text)
        if triple.task_name != "qa":
            topic = {text: name for name, text in TOPICS.items()}
            told_apart = [topic[side.text.split(" number")[0]] for side in (triple.query, triple.pos, triple.neg)]
            assert told_apart[0] == told_apart[1] != told_apart[2]
            assert triple.query.instruction == triple.pos.instruction
    assert check(tmp_path / "out.jsonl").clean


def test_two_builds_are_identical(folder, tmp_path):
    first, second = (build(folder, tmp_path / name, options=Options(limit=10)) for name in ("a.jsonl", "b.jsonl"))
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert first == second
    assert first.triples == 44
    assert build(folder, tmp_path / "c.jsonl", options=Options(limit=10, seed=1)).sha256 != first.sha256


def test_any_encoder_mines(folder, tmp_path, models):
    manifest = build(folder, tmp_path / "out.jsonl", encoder=models["relu"], options=Options(wordings=1))
    assert manifest.encoder == "INSTRUCTOR"
    assert manifest.triples == 72
    assert len({triple.query.instruction for triple in read(tmp_path / "out.jsonl")}) == 3


def test_evaluation_texts_are_left_out(folder, tmp_path):
    (tmp_path / "eval").mkdir()
    row = {"any": ["The Team won the MATCH, goal number 3!", "short"]}
    (tmp_path / "eval" / "test.jsonl").write_text(json.dumps(row))
    against = Texts.of(tmp_path / "eval")
    assert len(against) == 1
    build(folder, tmp_path / "all.jsonl")
    findings = check(tmp_path / "all.jsonl", against)
    assert not findings.clean
    assert findings.contaminations == len(findings.contaminated) > 2
    manifest = build(folder, tmp_path / "out.jsonl", against=against)
    assert manifest.removed_as_evaluation_text == findings.contaminations
    assert check(tmp_path / "out.jsonl", against).clean
    with pytest.raises(InputError, match="holds no evaluation data"):
        Texts.of(tmp_path / "nothing")


def test_skipping_everything(folder, tmp_path):
    names = ("qa", "topics", "task1_topic_classification")
    assert build(folder, tmp_path / "out.jsonl", options=Options(skip=names[:2])).tasks == 1
    with pytest.raises(InputError, match="no triple came out"):
        build(folder, tmp_path / "out.jsonl", options=Options(skip=names))


def test_the_command(folder, tmp_path, monkeypatch, capfd):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["instructor-embed", "medi", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            return stop.code, *capfd.readouterr()
        return 0, *capfd.readouterr()

    code, _, err = run("build", folder, "-o", tmp_path / "out.jsonl.gz", "--limit", "12")
    assert code == 0
    assert "36 triples of 3 tasks" in err or "triples of 3 tasks" in err
    code, out, _ = run("check", tmp_path / "out.jsonl.gz", "--against", folder)
    assert code == 1
    assert "not clean" in out
    code, out, _ = run("check", tmp_path / "out.jsonl.gz", "--json")
    assert code == 0
    assert json.loads(out)["clean"] is True
    (folder / "qa.jsonl").write_text('["a"]\n["b", "c"]\n["d", "e"]\n["f", "g"]')
    code, _, err = run("build", folder, "-o", tmp_path / "again.jsonl")
    assert code == 2
    assert "qa.jsonl, line 1" in err
    code, _, err = run("build", folder, "-o", tmp_path / "again.jsonl", "--rejects", tmp_path / "bad.jsonl")
    assert code == 0
    assert "1 records rejected" in err
    assert json.loads((tmp_path / "bad.jsonl").read_text())["place"] == "line 1"


@pytest.mark.skipif(not (SHARED / "data" / "train").is_dir(), reason="the shared data is not here")
def test_mined_positives_share_their_label():
    """Twenty tasks of Super-NaturalInstructions: mined positives share their label, where chance would be a third."""
    tasks = [
        task
        for name in ("tasks", "tasks_classification_extra")
        for task in super_ni.read(SHARED / "data" / "train" / "super_ni" / f"{name}.jsonl.gz")
        if task.is_classification
    ][:20]
    assert len(tasks) == 20
    shared, chance = [], []
    for task in tasks:
        label = dict(zip(task.inputs, task.outputs, strict=True))
        mined = list(of_task(task, Lexical()))
        assert len(mined) > 0.9 * len(task.inputs)
        shared += [label[one.query] == label[one.pos] != label[one.neg] for one in mined]
        labels = np.array(task.outputs)
        chance.append((labels[:, None] == labels[None]).mean())
    assert np.mean(shared) == 1
    assert np.mean(chance) < 0.5
