"""The recipe of the bundled model: what its triples teach, and that the model's files are in place."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.triple import Triple, write

RECIPE = Path(__file__).parent.parent / "recipes" / "mini"


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_steering_triples_ask_for_different_things():
    steering = loaded("steering")
    random = np.random.default_rng(0)
    topics, labels = random.integers(0, 6, 200), random.integers(0, 12, 200)
    vectors = np.eye(6, dtype=np.float32)[topics] + 0.01 * random.standard_normal((200, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [
        f"text {n} topic {topic} label {label}" for n, (topic, label) in enumerate(zip(topics, labels, strict=True))
    ]
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
