"""The recipe of the bundled model: what its triples teach, and that the model's files are in place."""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import processors

from instructor_embedding import INSTRUCTOR
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.triple import Triple, write
from instructor_embedding.model import hub
from instructor_embedding.model.scratch import SHAPES, random_embedder
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.tokenizer import train_tokenizer

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


class Mixing:
    """A teacher whose state of a piece is a row of a table, mixed with the text's mean."""

    def __init__(self, size):
        self.table = torch.from_numpy(np.random.default_rng(0).standard_normal((size, 48)).astype(np.float32))

    def states(self, ids):
        rows = self.table[ids]
        return rows + rows.mean(1, keepdim=True)


def tokenizers_of(texts):
    """Two tokenizers of other pieces: the teacher's, with a mark on both sides, and the model's."""
    there = train_tokenizer([*texts, *texts], 60, uncased=True)
    there.post_processor = processors.TemplateProcessing(single="</s> $A </s>", special_tokens=[("</s>", 1)])
    said = ["Represent the text mood good bad topic sentence for clustering classification by its : ; ,"]
    return there, train_tokenizer([*texts, *said * 3], 120, uncased=True)


@pytest.fixture
def taught(tmp_path):
    """A folder of what a teacher says of 36 texts, with the model's tokenizer."""
    texts = [f"{WORDS[a]}, {WORDS[b]}" for a in range(6) for b in range(6, 12)]
    there, own = tokenizers_of(texts)
    loaded("taught").write(tmp_path / "taught", texts, Mixing(there.get_vocab_size()), there, own)
    return tmp_path / "taught", own, there


def test_what_a_teacher_says_is_kept_word_by_word(taught):
    folder, _, there = taught
    found = loaded("taught").Taught.read(folder)
    assert len(found.texts) == 36
    number = np.array([7, 3])
    states = Mixing(there.get_vocab_size()).states(torch.tensor([there.encode(found.texts[7]).ids]))[0]
    words = there.encode(found.texts[7]).word_ids
    means = [states[[place for place, word in enumerate(words) if word == n]].mean(0) for n in range(3)]
    assert found.words(number).tolist() == [3, 3]  # two words and a comma
    kept = found.states(number)
    assert kept.shape == (6, 48)
    assert torch.allclose(kept[:3], torch.stack(means), atol=0.06)
    vector = torch.nn.functional.normalize(states.mean(0), dim=0)
    assert torch.allclose(found.vectors_of(number)[0], vector, atol=1e-3)


def test_long_texts_are_cut_behind_a_word():
    taught = loaded("taught")
    there, own = tokenizers_of(WORDS)
    text = " ".join(WORDS * 12)
    ((short, ids, words),) = taught.cut([text], there, own)
    assert len(ids) <= taught.LONGEST
    assert len(ids) == len(words) + 2
    assert text.startswith(short)
    assert text[len(short)] == " "
    assert len(short.split()) == words[-1] + 1
    assert [text for text, *_ in taught.cut(["", "sun"], there, own)] == ["sun"]


def test_a_model_learns_words_and_vectors(taught, monkeypatch, tmp_path):
    folder, own, _ = taught
    distill = loaded("distill")
    for name, value in {"HELD_BACK": 4, "TOKENS": 64, "WARMUP": 5, "RATE": 5e-3, "KEEP": 40}.items():
        monkeypatch.setattr(distill, name, value)
    monkeypatch.setitem(SHAPES, "made", (48, 16, 96, 2, 3, False, 48))
    parts = random_embedder("made", own)
    texts = distill.Texts(loaded("taught").Taught.read(folder), parts, ["Represent the text for clustering: "])
    distill.begin(parts, texts)
    model = Embedder(parts).train()
    model.set_dropout(0)
    numbers = texts.trained

    def apart(instruction):
        with torch.no_grad():
            return [one.item() for one in distill.losses(model, texts.batch(numbers, [instruction] * 32), texts.taught)]

    first, instructed = apart(""), apart("Represent the text: ")
    distill.train(model, texts, 80, tmp_path / "student.resume")
    assert all(late < early * 0.7 for late, early in zip(apart(""), first, strict=True))
    assert all(late < early * 0.7 for late, early in zip(apart("Represent the text: "), instructed, strict=True))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    distill.train(model, texts, 80, tmp_path / "student.resume")  # nothing is left to do
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_each_word_of_a_batch_has_its_tokens(taught):
    folder, own, _ = taught
    distill = loaded("distill")
    texts = distill.Texts(
        loaded("taught").Taught.read(folder), random_embedder("tiny", own), ["Represent the text: "]
    )
    said = ["", "Represent the text: "] * 5
    batch = texts.batch(np.arange(10), said)
    assert batch.words == 30
    assert batch.word.unique().tolist() == [*range(30), 30]
    for place, number in enumerate(batch.numbers):
        tokens = slice(*batch.packed.starts[place : place + 2])
        own_words = batch.word[tokens].tolist()
        assert own_words[-1] == 30  # the end mark belongs to no word
        assert all(word == 30 for word in own_words[: batch.packed.skip[place]])
        first = [token for token, word in zip(batch.packed.ids[tokens], own_words, strict=True) if word == 3 * place]
        spelled = "".join(own.id_to_token(token) for token in first)
        assert spelled == "▁" + texts.taught.texts[number].split(",")[0]


def test_layers_learn_to_obey(tmp_path):
    """A text is at its label's name under one instruction, and stays where it was under others."""
    obey, labels = loaded("obey"), loaded("labels")
    texts = [f"{WORDS[a]} {WORDS[b]}" for a in range(6) for b in range(6, 12)]
    source = labels.Labeled(
        "made", ("text",), ("mood",), texts, ["good" if n % 2 else "bad" for n in range(len(texts))]
    )
    _, own = tokenizers_of(texts)
    model = Embedder(random_embedder("tiny", own)).train()
    model.set_dropout(0)
    model.freeze(["embedding", "head"])
    table = model.encoder.embedding.weight.clone()
    same = "Represent the text for retrieval: "
    triples = [Triple(*(Pair(same, text) for text in texts[n : n + 3]), 0, "made") for n in range(0, 36, 3)]
    steps = obey.Steps([source], [torch.from_numpy(model.encode([Pair("", text) for text in texts]))], triples)

    def labeled():
        return sum(part.loss(model(model.tokens.pack(part.pairs))).item() for part in steps.draw()[: obey.SLOTS])

    first = labeled()
    obey.train(model, steps, 60, tmp_path / "model")
    assert labeled() < first - 0.5
    assert torch.equal(model.encoder.embedding.weight, table)
    history = tmp_path / "model.history.jsonl"
    lines = loaded("curve").noted(history)
    assert [line["step"] for line in lines] == [20, 40, 60]
    assert lines[-1]["labels"] < lines[0]["labels"]
    loaded("curve").draw([history], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_texts_for_the_teacher_are_short_long_and_sentences(tmp_path):
    texts = loaded("texts")
    rows = [Triple(Pair("i: ", "a task's input"), Pair("i: ", "its answer"), Pair("i: ", "no"), 0, "task1")]
    write(tmp_path / "medi.jsonl", rows)
    (tmp_path / "pairs").mkdir()
    long = "One sentence of some length stands here. Another one of the same length follows it. " * 4
    made = [["zebra crossing", long], ["quartz", ""]]
    for name in ("made", "nl2bash_description_command"):
        with gzip.open(tmp_path / "pairs" / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(pair) + "\n" for pair in made)
    found = texts.source_texts(tmp_path / "medi.jsonl", tmp_path)
    assert set(found) == {"made", "task task1"}  # the other's license does not allow a model to be passed on
    sentences = {"One sentence of some length stands here.", "Another one of the same length follows it."}
    kept = texts.chosen(found)
    assert {"zebra crossing", "quartz", long.strip(), "a task's input", "its answer", "no"} <= set(kept)
    assert sentences & set(kept)
    assert len(kept) == len(set(kept))


def test_the_bundled_model_needs_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    model = INSTRUCTOR(device="cpu")
    bag = ["how do I cook rice", "a recipe for boiling rice", "the match ended without a goal"]
    vectors = model.encode(bag, instruction="Represent the sentence: ")
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    folder = hub.resolve(hub.BUNDLED)
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
