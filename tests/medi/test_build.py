"""From sources to a checked file."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from instructor_embedding import InputError
from instructor_embedding.medi import super_ni
from instructor_embedding.medi.build import build
from instructor_embedding.medi.check import check
from instructor_embedding.medi.compose import mined_relations
from instructor_embedding.medi.config import Config, Selection
from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.lexical import BM25
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
    steps = []
    manifest = build(config(folder, tmp_path / "out.jsonl"), progress=steps.append)
    triples = list(read(tmp_path / "out.jsonl"))
    assert manifest.triples == len(triples) == 72
    assert len(manifest.tasks) == len({triple.task for triple in triples}) == 3
    assert [(step.name, step.triples, step.resumed) for step in steps] == [
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
            query, pos, neg = (topic[side.text.split(" number")[0]] for side in triple[:3])
            assert query == pos != neg
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


def test_a_stopped_build_resumes_and_gives_the_same_bytes(folder, tmp_path):
    straight, resumed = tmp_path / "straight.jsonl", tmp_path / "resumed.jsonl"
    expected = build(config(folder, straight))

    def stop(step):
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(config(folder, resumed), progress=stop)
    assert not resumed.exists()
    steps = []
    assert build(config(folder, resumed), progress=steps.append) == expected
    assert [step.resumed for step in steps] == [True, True, False]
    assert resumed.read_bytes() == straight.read_bytes()
    assert not Path(f"{resumed}.parts").exists()


def test_a_build_that_changed_starts_anew(folder, tmp_path):
    def stop(step):
        if step.done == 3:
            raise KeyboardInterrupt

    def resumed(**more):
        with pytest.raises(KeyboardInterrupt):
            build(config(folder, tmp_path / "out.jsonl", **more), progress=stop)
        steps = []
        other = {**more, "seed": 5} if change == "seed" else more
        build(config(folder, tmp_path / "out.jsonl", **other), progress=steps.append)
        return [step.resumed for step in steps]

    change = "nothing"
    assert resumed() == [True, True, True]
    change = "seed"
    assert resumed(limit=10) == [False, False, False]
    with pytest.raises(KeyboardInterrupt):
        build(config(folder, tmp_path / "out.jsonl"), progress=stop)
    with (folder / "qa.jsonl").open("a") as file:
        file.write('\n["one more question", "one more answer"]')
    steps = []
    build(config(folder, tmp_path / "out.jsonl"), progress=steps.append)
    assert [step.resumed for step in steps] == [False, True, True]


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
    with pytest.raises(InputError, match="has no evaluation data"):
        Texts.of([tmp_path / "nothing"])


def test_a_file_that_is_not_what_its_catalog_says(folder, tmp_path):
    catalog = json.loads((folder / "SOURCES.json").read_text())
    catalog["pairs"][0]["sha256"] = "0" * 64
    (folder / "SOURCES.json").write_text(json.dumps(catalog))
    with pytest.raises(InputError, match=r"qa\.jsonl is not the file that SOURCES\.json names"):
        build(config(folder, tmp_path / "out.jsonl"))


def test_a_file_selected_twice(folder, tmp_path):
    twice = Config((Selection(folder), Selection(folder, only=("qa",))), tmp_path / "out.jsonl")
    with pytest.raises(InputError, match=r"qa\.jsonl is selected twice"):
        build(twice)


def test_skipping(folder, tmp_path):
    assert len(build(config(folder, tmp_path / "out.jsonl", skip=("qa", "topics"))).tasks) == 1
    with pytest.raises(InputError, match="there is no triple"):
        build(config(folder, tmp_path / "out.jsonl", skip=("qa", "topics", "task1_*")))
    with pytest.raises(InputError, match="leave no source"):
        build(config(folder, tmp_path / "out.jsonl", skip=("*",)))
    with pytest.raises(InputError, match="there is no folder"):
        build(config(folder, tmp_path / "nowhere" / "out.jsonl"))


def test_licences_select_files_and_tasks(folder, tmp_path):
    """A task counts by its own licence, not by that of the file; what states none is left out."""
    path = folder / "super_ni" / "tasks.jsonl"
    task = json.loads(path.read_text())
    other = {**task, "task_name": "task2_other", "Instance License": ["CC BY-NC 4.0"]}
    path.write_text(json.dumps({**task, "Instance License": ["CC BY 4.0"]}) + "\n" + json.dumps(other))
    selection = Selection(folder, licences=("cc0*", "CC BY [0-9]*"))
    build(Config((selection,), tmp_path / "out.jsonl"))
    assert {triple.task_name for triple in read(tmp_path / "out.jsonl")} == {"qa", "task1_topic_classification"}


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


def test_invalid_records(run, folder, tmp_path):
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
    assert "1 triples are duplicates, 1 queries repeat one of their task" in out
    assert "query  [Represent the test question for retrieving the right answer: ] " in out
    code, out, _ = run("inspect", tmp_path / "out.jsonl", "--json")
    summary = json.loads(out)
    assert summary["tasks"]["qa"]["triples"] == 25
    # every query has 5 to 8 words
    assert summary["lengths"]["query"] == [0, 0, 0, 73] + [0] * 11
    assert sum(summary["instructions"].values()) == 146


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
        mined = [relation for relation in mined_relations(task, BM25()) if relation.neg]
        assert len(mined) > 0.9 * len(task.inputs)
        shared += [label[match.query] == label[match.pos] != label[match.neg] for match in mined]
        labels = np.array(task.outputs)
        chance.append((labels[:, None] == labels[None]).mean())
    assert np.mean(shared) == 1
    assert np.mean(chance) < 0.5


def test_the_command_with_files_and_their_facts(run, folder, tmp_path):
    """Own pairs need no SOURCES.json: their facts are options."""
    facts = ("--text-type", "question", "--text-type", "answer", "--domain", "test", "--objective", "finding its item")
    code, _, err = run("build", folder / "qa.jsonl", "-o", tmp_path / "own.jsonl", *facts)
    assert code == 0, err
    assert "(not in SOURCES.json: format pairs, from its first record)" in err
    triples = list(read(tmp_path / "own.jsonl"))
    assert len(triples) == 24
    assert {triple.query.instruction for triple in triples} == {"Represent the test question for finding its item: "}
    code, _, err = run("build", folder / "qa.jsonl", "-o", tmp_path / "own.jsonl")
    assert code == 2
    assert 'write a SOURCES.json into the folder: {"sources": [{"file": ' in err
    assert "--text-type" in err
    code, _, err = run("build", folder / "qa.jsonl", "-o", tmp_path / "own.jsonl", "--domain", "law")
    assert code == 2
    assert "--text-type is missing" in err


def test_negatives_are_mined_anew(run, folder, tmp_path, folders):
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    build(config(folder, before))
    code, _, err = run("mine", before, "-o", after, "--encoder", folders["relu"])
    assert code == 0, err
    assert "72 triples, " in err
    assert "48 mined by label or output and left unchanged" in err
    old, new = list(read(before)), list(read(after))
    assert [triple[:2] for triple in old] == [triple[:2] for triple in new]
    assert [triple[3:] for triple in old] == [triple[3:] for triple in new]
    changed = {a.task_name for a, b in zip(old, new, strict=True) if a.neg.text != b.neg.text}
    assert changed == {"qa"}
    matching = {(triple.query.text, triple.pos.text) for triple in old}
    assert not any((triple.query.text, triple.neg.text) in matching for triple in new)
    assert check(after).clean
