"""The whole way from sources to a checked file."""

import json
import sys
from hashlib import sha256

import numpy as np
import pytest

from instructor_embedding import InputError
from instructor_embedding.cli.main import main
from instructor_embedding.medi import super_ni
from instructor_embedding.medi.build import build
from instructor_embedding.medi.check import check
from instructor_embedding.medi.config import Config, Selection
from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.triple import read
from tests.conftest import SHARED

pytest.importorskip("bm25s")

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


def config_of(folder, output, *, against=(), wordings=3, seed=0, **selection):
    return Config((Selection(folder, **selection),), output, against=against, wordings=wordings, seed=seed)


def test_build(folder, tmp_path):
    told = []
    manifest = build(config_of(folder, tmp_path / "out.jsonl"), told=told.append)
    triples = list(read(tmp_path / "out.jsonl"))
    assert manifest.triples == len(triples) == 72
    assert len(manifest.tasks) == len({triple.task for triple in triples}) == len(told) == 3
    saved = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert [task["name"] for task in saved["tasks"]] == ["qa", "task1_topic_classification", "topics"]
    assert saved["tasks"][0]["licence"] == "CC0"
    assert saved["sha256"] == sha256((tmp_path / "out.jsonl").read_bytes()).hexdigest()
    for triple in triples:
        assert triple.neg.text not in (triple.pos.text, triple.query.text)
        if triple.task_name != "qa":
            topic = {text: name for name, text in TOPICS.items()}
            told_apart = [topic[side.text.split(" number")[0]] for side in (triple.query, triple.pos, triple.neg)]
            assert told_apart[0] == told_apart[1] != told_apart[2]
            assert triple.query.instruction == triple.pos.instruction
    assert check(tmp_path / "out.jsonl").clean


def test_two_builds_are_identical(folder, tmp_path):
    first, second = (build(config_of(folder, tmp_path / name, limit=10)) for name in ("a.jsonl", "b.jsonl"))
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert first == second
    assert 20 < first.triples <= 30
    assert build(config_of(folder, tmp_path / "c.jsonl", limit=10, seed=1)).sha256 != first.sha256


def test_a_stopped_build_goes_on(folder, tmp_path):
    whole = build(config_of(folder, tmp_path / "whole.jsonl"))

    def stop(step):
        if step.done == 2:
            raise KeyboardInterrupt

    config = config_of(folder, tmp_path / "out.jsonl")
    with pytest.raises(KeyboardInterrupt):
        build(config, told=stop)
    assert not (tmp_path / "out.jsonl").exists()
    steps = []
    assert build(config, told=steps.append).sha256 == whole.sha256
    assert [step.kept for step in steps] == [True, True, False]
    assert not (tmp_path / "out.jsonl.parts").exists()


def test_any_encoder_mines(folder, tmp_path, models):
    manifest = build(config_of(folder, tmp_path / "out.jsonl", wordings=1), encoder=models["relu"])
    assert "INSTRUCTOR" in manifest.sources[0]["encoder"]
    assert manifest.triples == 72
    assert len({triple.query.instruction for triple in read(tmp_path / "out.jsonl")}) == 3


def test_evaluation_texts_are_left_out(folder, tmp_path):
    (tmp_path / "eval").mkdir()
    row = {"any": ["The Team won the MATCH, goal number 3!", "short"]}
    (tmp_path / "eval" / "test.jsonl").write_text(json.dumps(row))
    against = (tmp_path / "eval",)
    build(config_of(folder, tmp_path / "all.jsonl"))
    findings = check(tmp_path / "all.jsonl", Texts.of(against))
    assert not findings.clean
    assert sum(findings.evaluation.values()) == len(findings.contaminated) > 2
    manifest = build(config_of(folder, tmp_path / "out.jsonl", against=against))
    assert sum(manifest.evaluation.values()) > 0
    assert check(tmp_path / "out.jsonl", Texts.of(against)).clean
    with pytest.raises(InputError, match="nothing"):
        Texts.of((tmp_path / "nothing",))


def test_skipping_everything(folder, tmp_path):
    assert len(build(config_of(folder, tmp_path / "out.jsonl", skip=("qa", "topics"))).tasks) == 1
    with pytest.raises(InputError, match="no triple came out"):
        build(config_of(folder, tmp_path / "out.jsonl", skip=("qa", "topics", "task1_*")))


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
def test_mined_positives_share_their_label(tmp_path):
    """Twenty tasks of Super-NaturalInstructions: mined positives share their label, where chance would be a third."""
    tasks = {
        task.name: task
        for name in ("tasks", "tasks_classification_extra")
        for task in super_ni.read(SHARED / "data" / "train" / "super_ni" / f"{name}.jsonl.gz")
        if task.is_classification
    }
    chosen = list(tasks)[:20]
    assert len(chosen) == 20
    others = tuple(name for name in _names_of_tasks() if name not in chosen)
    config = Config((Selection(SHARED / "data" / "train", only=("super_ni/*",), skip=others),), tmp_path / "out.jsonl")
    build(config)
    shared, chance = [], []
    for name in chosen:
        label = dict(zip(tasks[name].inputs, tasks[name].outputs, strict=True))
        labels = np.array(tasks[name].outputs)
        chance.append((labels[:, None] == labels[None]).mean())
        mined = [one for one in read(tmp_path / "out.jsonl") if one.task_name == name]
        assert len(mined) > 0.7 * len(set(tasks[name].inputs))
        shared += [label[one.query.text] == label[one.pos.text] != label[one.neg.text] for one in mined]
    assert np.mean(shared) == 1
    assert np.mean(chance) < 0.5


def _names_of_tasks():
    folder = SHARED / "data" / "train" / "super_ni"
    return [task.name for file in sorted(folder.glob("*.jsonl.gz")) for task in super_ni.read(file)]
