"""The recipe of the bundled model: what its triples teach, and that the model's files are in place."""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.triple import Triple, write
from instructor_embedding.model import checkpoint, layout
from instructor_embedding.model.scratch import train_tokenizer

RECIPE = Path(__file__).parent.parent / "recipes" / "mini"


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_steering_triples_ask_for_different_things():
    steering = loaded("steering")
    random = np.random.default_rng(0)
    topics, labels = random.integers(0, 6, 200), random.integers(0, 12, 200)
    vectors = np.eye(6, dtype=np.float32)[topics] + 0.01 * random.standard_normal((200, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"text {n} topic {topics[n]} label {labels[n]}" for n in range(200)]
    source = steering.Labeled("made", ("comment",), ("mood",), texts, [f"label {label}" for label in labels])
    triples = list(steering.triples_of(source, vectors, 7, random))

    def told(text, what):
        words = text.split()
        return words[words.index(what) + 1]

    by_name = {name: [one for one in triples if one.task_name == f"made_{name}"] for name in ("label", "same", "topic")}
    assert all(len(some) > 150 for some in by_name.values())
    for one in by_name["label"]:
        assert one.pos.text == f"label {told(one.query.text, 'label')}" != one.neg.text
        assert one.pos.instruction == one.neg.instruction == "Represent the mood: "
    for one in by_name["same"]:
        assert told(one.query.text, "label") == told(one.pos.text, "label") != told(one.neg.text, "label")
        assert told(one.query.text, "topic") == told(one.neg.text, "topic")
        assert "mood" in one.query.instruction
    for one in by_name["topic"]:
        assert told(one.query.text, "label") == told(one.neg.text, "label") != told(one.pos.text, "label")
        assert told(one.query.text, "topic") == told(one.pos.text, "topic")
        assert "mood" not in one.query.instruction


def test_mixture_varies_instructions_alike_on_all_sides(tmp_path):
    mix = loaded("mix")
    same = "Represent the tweet for classification by emotion: "
    rows = [Triple(Pair(same, f"q{n}"), Pair(same, f"p{n}"), Pair(same, f"n{n}"), n % 3, "x") for n in range(300)]
    write(tmp_path / "medi.jsonl", rows)
    write(tmp_path / "steering.jsonl", rows[:10])
    found = list(mix.mixed(tmp_path / "medi.jsonl", tmp_path / "steering.jsonl", (90, 10)))
    assert len(found) <= 100
    said = {one.query.instruction for one in found}
    assert len(said) > 10
    assert all(one.query.instruction == one.pos.instruction == one.neg.instruction for one in found)
    assert {one.query.text for one in found} <= {one.query.text for one in rows}
    assert "Represent the tweet: " in said or "" in said


def test_texts_of_the_start_hold_rare_words(tmp_path):
    start = loaded("start")
    often = [f"the common text {n}" for n in range(60)]
    rows = [Triple(Pair("i: ", text), Pair("i: ", text), Pair("i: ", text), 0, "x") for text in often]
    write(tmp_path / "medi.jsonl", rows)
    (tmp_path / "pairs").mkdir()
    pairs = [["the common text", "zebra crossing"], ["common", "the text"], ["quartz", ""]]
    with gzip.open(tmp_path / "pairs" / "made.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(pair) + "\n" for pair in pairs)
    tokenizer = train_tokenizer([*often, "zebra crossing quartz"] * 3, 80, uncased=True)
    found = start.chosen(tokenizer, tmp_path / "medi.jsonl", tmp_path, 1000)
    assert {*often, "zebra crossing", "quartz"} <= set(found)
    assert not {"the common text", "common", ""} & set(found[-2:])


def test_polish_counts_no_match_as_a_negative():
    polish = loaded("polish")
    query, pos, neg = np.array([0, 1]), np.array([2, 3]), np.array([4, 5])
    vectors = torch.nn.functional.normalize(torch.eye(6)[[0, 1, 0, 1, 2, 3]] + 0.01)
    apart = polish.contrast(vectors, query, pos, neg)
    assert apart < 1e-6  # each query is its positive
    wrong = polish.contrast(vectors[[0, 1, 2, 3, 0, 1]], query, pos, neg)
    assert wrong > 0.3  # each query is its negative as well
    assert polish.contrast(vectors[[0, 1, 2, 3, 0, 1]], query, pos, pos) < 1e-6  # now known to match


def test_average_of_two_models(folders, tmp_path, monkeypatch):
    average = loaded("average")
    first, second = folders["relu"], tmp_path / "second"
    parts = checkpoint.read(first)
    with torch.no_grad():
        weight = parts.encoder.blocks[0].feed_forward.wo.weight.clone()
        parts.encoder.blocks[0].feed_forward.wo.weight = torch.nn.Parameter(weight + 1)
    layout.write(parts, second)
    told = ["average.py", str(first), str(second), str(tmp_path / "out"), "--share", "0.25"]
    monkeypatch.setattr("sys.argv", told)
    average.main()
    found = checkpoint.read(tmp_path / "out").encoder.blocks[0].feed_forward.wo.weight
    torch.testing.assert_close(found, weight + 0.75)


def test_the_bundled_model_needs_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    model = INSTRUCTOR(device="cpu")
    bag = ["how do I cook rice", "a recipe for boiling rice", "the match ended without a goal"]
    vectors = model.encode(bag, instruction="Represent the sentence: ")
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    folder = Path(model._choice.folder)
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 16 * 2**20
    assert folder.name == "instructor-mini"


@pytest.mark.parametrize(
    ("question", "best", "other"),
    [
        ("Where is the Eiffel tower?", "The Eiffel tower stands in Paris, France.", "Paris Hilton is an heiress."),
        ("How are volcanoes formed?", "Magma rises through the crust and builds a cone.", "Form a line, please."),
    ],
)
def test_the_bundled_model_retrieves(question, best, other):
    model = INSTRUCTOR(device="cpu")
    query = model.encode([question], instruction="Represent the question for retrieving supporting documents: ")
    documents = model.encode([best, other], instruction="Represent the document for retrieval: ")
    scores = query @ documents.T
    assert scores[0, 0] > scores[0, 1]
