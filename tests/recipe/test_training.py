"""The recipe's training: targets of the teacher, distillation, obedience; all on a made-up teacher."""

import re

import numpy as np
import pytest
import torch
from recipes.mini import batches, curve, distill, labels, obey, teacher
from recipes.mini import tokenizer as tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from instructor_embedding.instruction import Pair
from instructor_embedding.medi.triple import Triple
from instructor_embedding.model.scratch import SHAPES, random_embedder
from instructor_embedding.training.embedder import Embedder

WORDS = ["sun", "moon", "star", "sky", "sea", "sand", "rock", "leaf", "root", "rain", "snow", "wind"]
SENTENCE = "represent the text mood good bad topic sentence for clustering classification by its : ; , . retrieval"
OTHERS = SENTENCE.split()
TEXTS = [f"{WORDS[a]}, {WORDS[b]}" for a in range(6) for b in range(6, 12)]
WIDTH = 48


def bert():
    """A tokenizer of BERT's kind, with words of one or two pieces."""
    pieces = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *OTHERS, "star", "##s", "字", "!"]
    ids = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marks = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    return tokenizer


class Mixing:
    """A teacher whose states are rows of a table, mixed with the mean of the text, more so in each layer."""

    device = torch.device("cpu")

    def __init__(self, size, count=1):
        self.table = torch.from_numpy(np.random.default_rng(0).standard_normal((size, WIDTH)).astype(np.float32))
        self.count = count

    def layers(self, ids):
        rows = self.table[ids]
        return [rows + rows.mean(1, keepdim=True) * (layer + 1) / self.count for layer in range(self.count)]


@pytest.fixture
def targets(tmp_path):
    """The targets of 36 texts in a folder, with the student's tokenizer and its ids in the teacher's vocabulary."""
    there = bert()
    own = tokenizers.student_tokenizer(there)
    ids = tokenizers.to_teacher(own, there)
    rows = [{"text": text, "group": "sky" if "s" in text else "other"} for text in TEXTS]
    teacher.write(tmp_path / "targets", rows, Mixing(there.get_vocab_size()), own, ids)
    return teacher.Targets.read(tmp_path / "targets"), own, ids


@pytest.fixture
def student(targets, monkeypatch):
    """A student of two layers with its batches."""
    for name, value in {"HELD_BACK": 4, "TOKENS": 64}.items():
        monkeypatch.setattr(batches, name, value)
    for name, value in {"WARMUP": 5, "RATE": 5e-3, "KEEP": 20}.items():
        monkeypatch.setattr(distill, name, value)
    monkeypatch.setitem(SHAPES, "recipe", (WIDTH, 16, 96, 2, 3, False, WIDTH))
    data, own, _ = targets

    def fresh():
        model = Embedder(random_embedder("recipe", own)).train()
        model.set_dropout(0)
        source = batches.Batches(data, model.tokens, ["Represent the text for clustering: "])
        distill.begin(model, source)
        return model, source

    return fresh


def test_the_student_splits_texts_as_the_teacher_does():
    there = bert()
    own = tokenizers.student_tokenizer(there)
    assert [own.id_to_token(index) for index in range(3)] == ["<pad>", "</s>", "<unk>"]
    assert own.token_to_id("字") is None
    assert own.token_to_id("[unused0]") is None
    ids = tokenizers.to_teacher(own, there)
    for text in ("Stars, sun.", "moon!", "nothing known", ""):
        assert own.encode(text).ids[-1] == 1
        assert ids[[0, *own.encode(text).ids]].tolist() == there.encode(text).ids


def test_targets_are_states_of_tokens_and_vectors_of_texts(targets):
    data, own, ids = targets
    assert data.texts == TEXTS
    for row in (0, 7, 35):
        positions = data.positions_of(row)
        assert len(positions) == 1  # a third of three tokens
        stored = data.states(np.array([row]))
        row_ids = torch.from_numpy(ids[[0, *own.encode(data.texts[row]).ids]])[None]
        full = Mixing(bert().get_vocab_size()).layers(row_ids)[0][0]
        torch.testing.assert_close(stored[0], full[1 + positions[0]], atol=0.06, rtol=0)
        vector = torch.nn.functional.normalize(full.mean(0), dim=0)
        torch.testing.assert_close(data.vectors_of(np.array([row]))[0], vector, atol=1e-3, rtol=0)


def test_long_texts_end_with_a_complete_word():
    own = tokenizers.student_tokenizer(bert())
    text = " ".join(["stars moon"] * 60)
    short, ids = teacher.shortened(text, own.encode(text))
    assert len(ids) <= teacher.LONGEST
    assert text.startswith(short)
    assert text[len(short)] == " "
    assert own.encode(short).ids[:-1] == ids
    assert teacher.shortened("sun", own.encode("sun"))[0] == "sun"


@pytest.mark.parametrize("instruction", ["", "Represent the text: ", "Represent the text for clustering : "])
def test_each_state_of_a_batch_has_its_token(instruction, student, targets):
    data, own, _ = targets
    _, source = student()
    batch = source.batch(np.arange(10), [instruction, ""] * 5)
    assert len(batch.tokens) == len(data.states(batch.rows))
    expected = [own.encode(data.texts[row]).ids[position] for row in batch.rows for position in data.positions_of(row)]
    assert batch.packed.ids[batch.tokens].tolist() == expected


def test_an_epoch_resumes_inside(student):
    _, source = student()
    straight = [batch.packed.ids.tolist() for batch in source.epoch(3)]
    assert len(straight) > 1
    assert [batch.packed.ids.tolist() for batch in source.epoch(3, 1)] == straight[1:]
    for batch in source.epoch(3, by_group=True):
        assert len({source.targets.groups[row] for row in batch.rows}) == 1


def test_a_student_learns_and_resumes_exactly(student, targets, tmp_path):
    model, source = student()

    def now(own, instruction):
        with torch.no_grad():
            rows = source.trained
            return [
                value.item() for value in distill.losses(own, source.batch(rows, [instruction] * 32), targets[0])[:2]
            ]

    first, instructed = now(model, ""), now(model, "Represent the text: ")
    distill.train(model, source, 80, tmp_path / "a.resume", similarity=20)
    assert all(late < early * 0.7 for late, early in zip(now(model, ""), first, strict=True))
    assert all(late < early * 0.7 for late, early in zip(now(model, "Represent the text: "), instructed, strict=True))
    other, source = student()
    stopped = distill.Training.save

    class StopError(Exception):
        pass

    def stop(training):
        stopped(training)
        if training.step == 40:
            raise StopError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distill.Training, "save", stop)
        with pytest.raises(StopError):
            distill.train(other, source, 80, tmp_path / "b.resume", similarity=20)
    again, source = student()
    distill.train(again, source, 80, tmp_path / "b.resume", similarity=20)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-6, rtol=0)
    assert [line["step"] for line in curve.noted(tmp_path / "b.history.jsonl")] == [20, 40, 60, 80]


def test_layers_are_pulled_to_those_of_the_teacher(student, targets, tmp_path):
    _, _, ids = targets
    model, source = student()
    layers = distill.LayerTargets(Mixing(bert().get_vocab_size(), 2), ids, WIDTH, 2)
    layers.watch(model)
    batch = source.batch(source.trained, [""] * 32)
    before = distill.losses(model, batch, targets[0], layers).layers.item()
    distill.train(model, source, 60, tmp_path / "c.resume", layers)
    assert distill.losses(model, batch, targets[0], layers).layers.item() < 0.5 * before
    assert not layers.states  # nothing is recorded between steps


def test_label_loss_pulls_texts_to_their_name_and_together():
    names = torch.eye(4)[:2]
    index = torch.tensor([0, 1, 0, 1])
    right = obey.label_loss(names[index], names, index)
    assert obey.label_loss(names[1 - index], names, index) > right + 10
    assert obey.label_loss(torch.eye(4), names, index) > right + 0.5
    assert torch.isfinite(obey.label_loss(names, names, torch.tensor([0, 1])))


def labeled(name, kind, of):
    return labels.Labeled(name, kind, ("text",), (kind,), TEXTS, [of(number) for number in range(len(TEXTS))])


def two_sets():
    first = labeled("first", "mood", lambda number: "good" if number % 2 else "bad")
    return [first, labeled("second", "sea", lambda number: str(number // 18))]


def test_layers_learn_to_follow_instructions_and_resume(tmp_path, monkeypatch):
    """Texts move to the label that is requested, stay elsewhere, and a stopped training resumes exactly."""
    monkeypatch.setattr(obey, "KEEP", 20)
    sets = [
        labeled("made", "mood", lambda n: "good" if n % 2 else "bad"),
        labeled("other", "sea", lambda n: str(n // 18)),
    ]
    own = tokenizers.student_tokenizer(bert())
    same = "Represent the text for retrieval: "
    triples = [Triple(*(Pair(same, text) for text in TEXTS[n : n + 3]), 0, "made") for n in range(0, 36, 3)]

    def fresh():
        model = Embedder(random_embedder("tiny", own)).train()
        model.set_dropout(0)
        model.freeze(["embedding", "head"])
        vectors = dict(zip(TEXTS, torch.from_numpy(model.encode([Pair("", text) for text in TEXTS])), strict=True))
        return model, obey.Steps(sets, lambda rows: torch.stack([vectors[row] for row in rows]), triples)

    model, steps = fresh()
    table = model.encoder.embedding.weight.clone()

    def loss():
        portions = [portion for seed in range(3) for portion in steps.draw(1000 + seed)[: obey.SLOTS]]
        return sum(portion.loss(model(model.tokens.pack(portion.pairs))).item() for portion in portions)

    first = loss()
    obey.train(model, steps, 60, tmp_path / "a")
    assert loss() < first - 0.5
    assert torch.equal(model.encoder.embedding.weight, table)
    again, steps = fresh()
    obey.train(again, steps, 60, tmp_path / "b")
    (tmp_path / "b.history.jsonl").unlink()
    state = torch.load(tmp_path / "b.resume", weights_only=True)
    assert state["step"] == 60
    history = tmp_path / "a.history.jsonl"
    assert [line["step"] for line in curve.noted(history)] == [20, 40, 60]
    curve.draw([history], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_counterparts_request_another_label_or_none():
    """The instructions beside the own one: another kind's, the own one negated, none in particular, empty."""
    sets = [
        labeled("made", "mood", lambda n: "good" if n % 2 else "bad"),
        labeled("other", "sea", lambda n: str(n // 18)),
    ]
    triples = [Triple(Pair("", "a"), Pair("", "b"), Pair("", "c"), 0, "t")] * 3
    steps = obey.Steps(sets, lambda rows: torch.zeros(len(rows), 4), triples)
    seen = {portion.pairs[-1].instruction for seed in range(200) for portion in steps.draw(seed)[: obey.SLOTS]}
    assert "" in seen
    assert any(re.search("ignoring|regardless|whatever", text) for text in seen)
    assert any(re.search("mood.*sea|sea.*mood", text) for text in seen) or any("topic" in text for text in seen)
