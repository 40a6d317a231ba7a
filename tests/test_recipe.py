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
from instructor_embedding.model.scratch import train_tokenizer
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.static import static_checkpoint
from instructor_embedding.training.teacher import Teacher

WORDS = ["sun", "moon", "star", "sky", "sea", "sand", "rock", "leaf", "root", "rain", "snow", "wind"]
RECIPE = Path(__file__).parent.parent / "recipes" / "mini"


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _recipe_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))


def test_wordings_differ_and_ask_for_what_they_should():
    wording = loaded("wording").Wording(np.random.default_rng(0))
    for_label = {wording.for_label(("tweet", "text"), ("mood",)) for _ in range(200)}
    for_others = {wording.for_others(("tweet", "text")) for _ in range(200)}
    assert min(len(for_label), len(for_others)) > 20
    assert all("mood" in said for said in for_label)
    assert not any("mood" in said for said in for_others)
    assert "" in for_others
    same = "Represent the tweet for classification by emotion: "
    triple = Triple(Pair(same, "q"), Pair(same, "p"), Pair(same, "n"), 3, "x")
    found = [wording.varied(triple) for _ in range(100)]
    assert len({one.query.instruction for one in found}) > 10
    assert all(one.query.instruction == one.pos.instruction == one.neg.instruction for one in found)
    assert all("tweet for classification by emotion" in one.query.instruction for one in found)


def test_label_loss_wants_texts_at_their_name_and_together():
    obey = loaded("obey")
    names = torch.eye(4)[:2]
    labels = torch.tensor([0, 1, 0, 1])
    right = obey.label_loss(names[labels], names, labels)
    assert obey.label_loss(names[1 - labels], names, labels) > right + 10
    apart = torch.eye(4)[[0, 1, 2, 3]]
    assert obey.label_loss(apart, names, labels) > right + 0.5
    one_each = obey.label_loss(names, names, torch.tensor([0, 1]))
    assert torch.isfinite(one_each)


def test_layers_learn_to_obey(tmp_path):
    """A text is at its label's name under one instruction, and where the teacher puts it under others."""
    obey, labels = loaded("obey"), loaded("labels")
    random = np.random.default_rng(0)
    texts = [f"{WORDS[a]} {WORDS[b]}" for a in range(6) for b in range(6, 12)]
    source = labels.Labeled(
        "made", ("text",), ("mood",), texts, ["good" if n % 2 else "bad" for n in range(len(texts))]
    )
    rows = [Triple(Pair("Represent the text: ", text), Pair("", text), Pair("", "word"), 1, "x") for text in texts]
    pairs = [Pair("", text) for text in [*texts, "word"]]
    teacher = Teacher(tmp_path / "teacher", "made")
    vectors = random.standard_normal((len(pairs), 48)).astype(np.float32)
    teacher.fill(pairs, lambda: lambda some: vectors[[pairs.index(pair) for pair in some]], progress=False)
    tokenizer = train_tokenizer([*texts, "Represent the text mood good bad topic"] * 3, 90, uncased=True)
    start = static_checkpoint("tiny", tokenizer, teacher, [pair.text for pair in pairs], epochs=30)
    model = Embedder(start).train()
    model.set_dropout(0)
    model.freeze(["embedding", "head"])
    table = model.encoder.embedding.weight.clone()
    steps = obey.Steps([source], rows, teacher)

    def labeled():
        return sum(part.loss(model(model.tokens.pack(part.pairs))).item() for part in steps.draw()[: obey.SLOTS])

    first = labeled()
    obey.train(model, steps, 40)
    assert labeled() < first - 0.5
    assert torch.equal(model.encoder.embedding.weight, table)


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
