"""The whole way from sources to a checked file."""

import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from instructor_embedding import InputError
from instructor_embedding.cli.main import main
from instructor_embedding.medi import super_ni
from instructor_embedding.medi.build import build
from instructor_embedding.medi.check import check
from instructor_embedding.medi.config import Config, Selection
from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.lexical import BM25
from instructor_embedding.medi.part import of_task
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


def config(folder, output, *, limit=None, skip=(), **more):
    return Config((Selection(folder, skip=skip, limit=limit),), output, **more)


def test_build(folder, tmp_path):
    told = []
    manifest = build(config(folder, tmp_path / "out.jsonl"), told=told.append)
    triples = list(read(tmp_path / "out.jsonl"))
    assert manifest.triples == len(triples) == 72
    assert len(manifest.tasks) == len({triple.task for triple in triples}) == 3
    assert [(step.name, step.triples, step.kept) for step in told] == [
        ("qa", 24, False),
        ("tasks", 24, False),
        ("topics", 24, False),
    ]
    saved = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert [task["name"] for task in saved["tasks"]] == ["qa", "task1_topic_classification", "topics"]
    assert [task["task"] for task in saved["tasks"]] == [0, 1, 2]
    assert saved["tasks"][0]["licence"] == "CC0"
    assert saved["sources"][0]["file"] == "qa.jsonl"
    assert saved["sha256"] == sha256((tmp_path / "out.jsonl").read_bytes()).hexdigest()
    assert saved["sources"][0]["encoder"].startswith("bm25 (bm25s ")
    topic = {text: name for name, text in TOPICS.items()}
    for triple in triples:
        assert triple.neg.text not in (triple.pos.text, triple.query.text)
        if triple.task_name != "qa":
            told_apart = [topic[side.text.split(" number")[0]] for side in (triple.query, triple.pos, triple.neg)]
            assert told_apart[0] == told_apart[1] != told_apart[2]
            assert triple.query.instruction == triple.pos.instruction
    assert check(tmp_path / "out.jsonl").clean
    left = sorted(path.name for path in tmp_path.iterdir() if path != folder)
    assert left == ["out.jsonl", "out.jsonl.manifest.json"]


def test_two_builds_are_identical(folder, tmp_path):
    first, second = (build(config(folder, tmp_path / name, limit=10)) for name in ("a.jsonl", "b.jsonl"))
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert first == second
    assert first.triples == 30
    assert build(config(folder, tmp_path / "c.jsonl", limit=10, seed=1)).sha256 != first.sha256


def test_a_stopped_build_goes_on_and_gives_the_same_bytes(folder, tmp_path):
    whole, resumed = tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"
    expected = build(config(folder, whole))

    def stop(step):
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(config(folder, resumed), told=stop)
    assert not resumed.exists()
    told = []
    assert build(config(folder, resumed), told=told.append) == expected
    assert [step.kept for step in told] == [True, True, False]
    assert resumed.read_bytes() == whole.read_bytes()
    assert not Path(f"{resumed}.parts").exists()


def test_a_build_that_changed_starts_anew(folder, tmp_path):
    def stop(step):
        if step.done == 3:
            raise KeyboardInterrupt

    def kept(**more):
        with pytest.raises(KeyboardInterrupt):
            build(config(folder, tmp_path / "out.jsonl", **more), told=stop)
        told = []
        other = {**more, "seed": 5} if change == "seed" else more
        build(config(folder, tmp_path / "out.jsonl", **other), told=told.append)
        return [step.kept for step in told]

    change = "nothing"
    assert kept() == [True, True, True]
    change = "seed"
    assert kept(limit=10) == [False, False, False]
    with pytest.raises(KeyboardInterrupt):
        build(config(folder, tmp_path / "out.jsonl"), told=stop)
    with (folder / "qa.jsonl").open("a") as file:
        file.write('\n["one more question", "one more answer"]')
    told = []
    build(config(folder, tmp_path / "out.jsonl"), told=told.append)
    assert [step.kept for step in told] == [False, True, True]


def test_any_encoder_mines(folder, tmp_path, models):
    manifest = build(config(folder, tmp_path / "out.jsonl", wordings=1), encoder=models["relu"])
    assert manifest.sources[0]["encoder"].startswith("INSTRUCTOR (")
    assert manifest.triples == 72
    assert len({triple.query.instruction for triple in read(tmp_path / "out.jsonl")}) == 3


def test_evaluation_texts_are_left_out(folder, tmp_path):
    (tmp_path / "eval").mkdir()
    row = {"any": ["The Team won the MATCH, goal number 3!", "short"]}
    (tmp_path / "eval" / "test.jsonl").write_text(json.dumps(row))
    against = Texts.of([tmp_path / "eval"])
    assert len(against) == 1
    build(config(folder, tmp_path / "all.jsonl"))
    findings = check(tmp_path / "all.jsonl", against)
    assert not findings.clean
    assert findings.evaluation["test.jsonl"] == len(findings.contaminated) > 2
    manifest = build(config(folder, tmp_path / "out.jsonl", against=(tmp_path / "eval",)))
    # one text in the task and one in the file of labels
    assert manifest.evaluation == {"test.jsonl": 2}
    assert [task["left out"]["evaluation"].get("test.jsonl", 0) for task in manifest.tasks] == [0, 1, 1]
    assert check(tmp_path / "out.jsonl", against).clean
    with pytest.raises(InputError, match="holds no evaluation data"):
        Texts.of([tmp_path / "nothing"])


def test_a_file_that_is_not_what_its_catalog_says(folder, tmp_path):
    catalog = json.loads((folder / "SOURCES.json").read_text())
    catalog["pairs"][0]["sha256"] = "0" * 64
    (folder / "SOURCES.json").write_text(json.dumps(catalog))
    with pytest.raises(InputError, match=r"qa\.jsonl is not the file that SOURCES\.json names"):
        build(config(folder, tmp_path / "out.jsonl"))


def test_a_file_chosen_twice(folder, tmp_path):
    twice = Config((Selection(folder), Selection(folder, only=("qa",))), tmp_path / "out.jsonl")
    with pytest.raises(InputError, match=r"qa\.jsonl is chosen twice"):
        build(twice)


def test_skipping(folder, tmp_path):
    assert len(build(config(folder, tmp_path / "out.jsonl", skip=("qa", "topics"))).tasks) == 1
    with pytest.raises(InputError, match="no triple came out"):
        build(config(folder, tmp_path / "out.jsonl", skip=("qa", "topics", "task1_*")))
    with pytest.raises(InputError, match="leave no source"):
        build(config(folder, tmp_path / "out.jsonl", skip=("*",)))
    with pytest.raises(InputError, match="there is no folder"):
        build(config(folder, tmp_path / "nowhere" / "out.jsonl"))


@pytest.fixture
def run(monkeypatch, capfd):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["instructor-embed", "medi", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            return stop.code, *capfd.readouterr()
        return 0, *capfd.readouterr()

    return run


def test_the_command(run, folder, tmp_path):
    code, _, err = run("build", folder, "-o", tmp_path / "out.jsonl.gz", "--limit", "12")
    assert code == 0
    assert "36 triples of 3 tasks; 0 records rejected" in err
    assert "1/3 qa: 12 triples, " in err
    code, out, _ = run("check", tmp_path / "out.jsonl.gz", "--against", folder)
    assert code == 1
    assert "not clean" in out
    code, out, _ = run("check", tmp_path / "out.jsonl.gz", "--json")
    assert code == 0
    assert json.loads(out)["clean"] is True
    code, _, err = run("build", folder)
    assert code == 2
    assert "-o is missing" in err


def test_the_command_with_a_toml_file(run, folder, tmp_path):
    (tmp_path / "build.toml").write_text('output = "medi.jsonl"\nseed = 2\n[[sources]]\nfolder = "sources"\nlimit = 9')
    assert run("build", tmp_path / "build.toml")[0] == 0
    run("build", folder, "-o", tmp_path / "same.jsonl", "--limit", 9, "--seed", 2)
    assert (tmp_path / "medi.jsonl").read_bytes() == (tmp_path / "same.jsonl").read_bytes()
    run("build", tmp_path / "build.toml", "-o", tmp_path / "other.parquet", "--seed", 3, "--skip", "qa")
    other = list(read(tmp_path / "other.parquet"))
    assert {triple.task_name for triple in other} == {"task1_topic_classification", "topics"}
    code, _, err = run("build", tmp_path / "build.toml", "--wordings", 7)
    assert code == 2
    assert "wordings must be 1 to 3, got 7" in err


def test_broken_records(run, folder, tmp_path):
    (folder / "qa.jsonl").write_text('["a"]\n["b", "c"]\n["d", "e"]\n["f", "g"]')
    code, _, err = run("build", folder, "-o", tmp_path / "again.jsonl")
    assert code == 2
    assert "qa.jsonl, line 1" in err
    code, _, err = run("build", folder, "-o", tmp_path / "again.jsonl", "--rejects", tmp_path / "bad.jsonl")
    assert code == 0
    assert "1 records rejected" in err
    assert json.loads((tmp_path / "bad.jsonl").read_text())["position"] == "line 1"


def test_inspect(run, folder, tmp_path):
    build(config(folder, tmp_path / "out.jsonl", wordings=1))
    with (tmp_path / "out.jsonl").open("a") as file:
        file.write((tmp_path / "out.jsonl").read_text().splitlines()[0] + "\n")
    code, out, _ = run("inspect", tmp_path / "out.jsonl", "--examples", 1)
    assert code == 0
    assert "73 triples of 3 tasks" in out
    assert "1 triples came before, 1 queries in their task" in out
    assert "query  [Represent the test question for retrieving the right answer: ] " in out
    code, out, _ = run("inspect", tmp_path / "out.jsonl", "--json")
    found = json.loads(out)
    assert found["tasks"]["qa"]["triples"] == 25
    # every query has 5 to 8 words
    assert found["lengths"]["query"] == [0, 0, 0, 73] + [0] * 11
    assert sum(found["instructions"].values()) == 146


def test_inspect_draws(run, folder, tmp_path):
    pytest.importorskip("matplotlib")
    build(config(folder, tmp_path / "out.jsonl"))
    assert run("inspect", tmp_path / "out.jsonl", "--plot", tmp_path / "out.png")[0] == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


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
        mined = [one for one in of_task(task, BM25()) if one.neg]
        assert len(mined) > 0.9 * len(task.inputs)
        shared += [label[one.query] == label[one.pos] != label[one.neg] for one in mined]
        labels = np.array(task.outputs)
        chance.append((labels[:, None] == labels[None]).mean())
    assert np.mean(shared) == 1
    assert np.mean(chance) < 0.5
