"""A model that starts as a static model: the table is learned, and the untrained layers change nothing."""

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, InputError
from instructor_embedding.instruction import Pair
from instructor_embedding.model.folder.write import write
from instructor_embedding.model.scratch import random_embedder
from instructor_embedding.training.static import Table, fit_table, put_in, static_checkpoint, token_ids
from instructor_embedding.training.teacher import Teacher
from instructor_embedding.training.tokenizer import train_tokenizer

WORDS = ["red", "green", "blue", "cat", "dog", "bird", "runs", "sleeps", "eats", "house", "tree", "river"]


@pytest.fixture(scope="module")
def texts():
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, random.integers(2, 7))) for _ in range(600)]


@pytest.fixture(scope="module")
def tokenizer(texts):
    return train_tokenizer(texts, 60, uncased=True)


def teacher_of(texts, folder, dimension=48):
    """A teacher whose vector of a text is the weighted mean of vectors of its words."""
    random = np.random.default_rng(1)
    vectors = {word: random.standard_normal(dimension) * random.uniform(0.2, 3) for word in WORDS}
    teacher = Teacher(folder, "words")
    rows = np.array([np.mean([vectors[word] for word in text.split()], 0) for text in texts], np.float32)
    teacher.add([Pair("", text) for text in texts], rows)
    return teacher


def test_the_model_starts_as_the_table(texts, tokenizer, tmp_path):
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(tokenizer.get_vocab_size(), 63, generator=random)
    rows *= torch.rand(len(rows), 1, generator=random) + 0.5
    axes = torch.linalg.qr(torch.randn(63, 48, generator=random))[0]
    parts = random_embedder("tiny", tokenizer)
    put_in(Table(rows, axes), parts)
    write(parts, tmp_path / "model")
    found = INSTRUCTOR(tmp_path / "model", device="cpu").encode([["Represent the text: ", text] for text in texts[:20]])
    lengths = rows.norm(dim=1)
    rows *= (torch.quantile(lengths, 0.999) / lengths).clamp(max=1)[:, None]
    means = torch.stack([rows[ids].mean(0) for ids in token_ids(tokenizer, texts[:20])]) @ axes
    np.testing.assert_allclose(found, torch.nn.functional.normalize(means), atol=1e-5)


def test_the_table_learns_the_teacher(texts, tokenizer, tmp_path):
    teacher = teacher_of(texts, tmp_path / "teacher")
    folder = tmp_path / "model"
    write(static_checkpoint("tiny", tokenizer, teacher, texts[:500], epochs=200), folder)
    new = texts[500:]
    found = INSTRUCTOR(folder, device="cpu").encode([["Represent the text: ", text] for text in new])
    told = teacher.vectors([Pair("", text) for text in new])
    assert (found * told).sum(1).mean() > 0.97


def test_the_table_is_the_same_for_the_same_seed():
    ids = [np.array([1, 2]), np.array([2, 3]), np.array([0])]
    targets = np.eye(3, 4, dtype=np.float32)
    first, again, other = (fit_table(ids, targets, 5, 3, 4, seed) for seed in (0, 0, 1))
    assert torch.equal(first.rows, again.rows)
    assert not torch.equal(first.rows, other.rows)


def test_a_teacher_of_too_few_dimensions(texts, tokenizer, tmp_path):
    with pytest.raises(InputError, match="at least 48 dimensions, not 20"):
        static_checkpoint("tiny", tokenizer, teacher_of(texts, tmp_path, 20), texts, epochs=1)


def test_uncased_words_have_one_form(tokenizer):
    forms = [tokenizer.encode(text).tokens[:-1] for text in ("red", "Red", "RED")]
    assert forms[0] == forms[1] == forms[2]
    assert tokenizer.encode("(Red), RED.").tokens[:-1] == ["(", *forms[0], ")", ",", *forms[0], "."]
