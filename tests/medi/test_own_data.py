"""Triples from data as people have it: one command, and the facts as options."""

import json

import pytest

from instructor_embedding.medi.triple import read
from tests.medi.test_build import TOPICS

pytest.importorskip("bm25s")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own.csv", "question,answer\n{}"),
        ("own.tsv", "question\tanswer\n{}"),
        ("own.jsonl", None),
    ],
)
def test_own_pairs_in_any_format(name, content, run, tmp_path):
    rows = [(f"what is item {n}", f'item {n} is "bread"') for n in range(8)]
    if content is None:
        text = "\n".join(json.dumps({"question": a, "answer": b}) for a, b in rows)
    else:
        quoted = [(a, '"' + b.replace('"', '""') + '"' if name.endswith("csv") else b) for a, b in rows]
        text = content.format("\n".join(("," if name.endswith("csv") else "\t").join(row) for row in quoted))
    (tmp_path / name).write_text(text)
    code, _, err = run(
        "build", tmp_path / name, "-o", tmp_path / "out.jsonl", "--text-type", "question", "--text-type", "answer"
    )
    assert code == 0, err
    triples = list(read(tmp_path / "out.jsonl"))
    assert sorted((triple.query.text, triple.pos.text) for triple in triples) == sorted(rows)


def test_texts_with_labels_are_a_classification(run, tmp_path):
    rows = [f"{text} number {n},{topic}" for topic, text in TOPICS.items() for n in range(6)]
    (tmp_path / "own.csv").write_text("text,label\n" + "\n".join(rows))
    code, _, err = run(
        "build", tmp_path / "own.csv", "-o", tmp_path / "out.jsonl", "--text-type", "text", "--text-type", "topic"
    )
    assert code == 0, err
    topic = {text: name for name, text in TOPICS.items()}
    for triple in read(tmp_path / "out.jsonl"):
        query, pos, neg = (topic[side.text.split(" number")[0]] for side in triple[:3])
        assert query == pos != neg


def test_the_command_reads_what_train_reads(run, tmp_path):
    """A folder and a glob of files, a saved dataset, own columns, tasks and instructions of the records."""
    datasets = pytest.importorskip("datasets")
    home = tmp_path / "data"
    (home / "one").mkdir(parents=True)
    (home / "one" / "faq.csv").write_text("title,body\n" + "\n".join(f"item {n},the item {n} is red" for n in range(6)))
    rows = [{"anchor": f"thing {n}", "positive": f"the thing {n} is blue", "task": f"t{n % 2}"} for n in range(12)]
    datasets.Dataset.from_list(rows).save_to_disk(home / "saved")
    medi = [{"query": ["Q: ", f"word {n}"], "pos": ["D: ", f"the word {n} is long"]} for n in range(6)]
    (home / "medi.jsonl").write_text("\n".join(map(json.dumps, medi)))
    options = (
        "--text-type",
        "question",
        "--text-type",
        "answer",
        "--columns",
        "query=title",
        "--columns",
        "positive=body",
    )
    code, _, err = run("build", home, "-o", tmp_path / "out.jsonl", "--wordings", 1, *options)
    assert code == 0, err
    by_task = {}
    for triple in read(tmp_path / "out.jsonl"):
        by_task.setdefault(triple.task_name, []).append(triple)
    assert {name: len(triples) for name, triples in by_task.items()} == {"medi": 6, "faq": 6, "t0": 6, "t1": 6}
    assert {triple[0].instruction for triple in by_task["medi"]} == {"Q: "}
    assert {triple[2].instruction for triple in by_task["medi"]} == {"D: "}
    assert {triple[0].instruction for triple in by_task["faq"]} == {
        "Represent the question for retrieving the right answer: "
    }
    sources = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["sources"]
    assert sources[0]["facts"] == {
        "domain": "", "query": "question", "pos": "answer", "kind": "question answering", "objective": ""
    }  # fmt: skip
    code, _, err = run("build", home / "*" / "faq.csv", "-o", tmp_path / "glob.jsonl", "--wordings", 1, *options)
    assert code == 0, err
    code, _, err = run("build", tmp_path / "gone.csv", "-o", tmp_path / "x.jsonl", "--text-type", "text")
    assert code == 2
    assert "sources: there is no file" in err
