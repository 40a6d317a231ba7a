"""Of a very long text a prefix is tokenized, where no token that is encoded can change."""

import random

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, Pair
from instructor_embedding.model.tokens import TextTokenizer

WORDS = [
    "cat",
    "dog",
    "Haus",
    "naïve",
    "co-operate",
    "ﬁne",
    "日本語",
    "x" * 70,
    "\u0301accent",
    "12,345.67",
    "…",
    "</s>",
    "a\tb",
    "c\nd",
]


@pytest.fixture(scope="module")
def mini():
    return INSTRUCTOR().tokens


@pytest.fixture(params=["relu", "mini"])
def tokens(request, models):
    return request.getfixturevalue("mini") if request.param == "mini" else models["relu"].tokens


@pytest.fixture
def complete(tokens):
    """Tokenizes every text completely."""
    tokenizer = TextTokenizer(tokens.tokenizer, tokens.max_length, tokens.lower)
    tokenizer.__dict__["_splits_words"] = False
    return tokenizer


@pytest.mark.parametrize("seed", range(8))
def test_tokens_are_the_same(tokens, complete, seed):
    draw = random.Random(seed)
    text = "".join(draw.choice(WORDS) + draw.choice([" ", "  ", "\n", "\t ", "\u00a0"]) for _ in range(20_000))
    pair = Pair("Represent the text: ", text)
    full, prefix = complete.pack([pair]), tokens.pack([pair])
    assert np.array_equal(full.ids, prefix.ids)
    assert np.array_equal(full.skip, prefix.skip)
    assert prefix.full[0] > prefix.lengths[0]
    assert prefix.full[0] < full.full[0] / 2


@pytest.mark.parametrize(
    "text",
    [
        "日" * 50_000,
        "x" * 50_000,
        "\U0001f600 " * 20_000,
        " " * 50_000 + "a",
        "a" + " " * 50_000,
        "x" * 9_000 + " a" * 9_000,
    ],
)
def test_odd_texts_have_the_same_tokens(tokens, complete, text):
    pair = Pair("", text)
    assert np.array_equal(complete.pack([pair]).ids, tokens.pack([pair]).ids)


def test_a_prefix_of_too_few_tokens_grows(tokens):
    """One that is mostly blanks is followed by a longer one, not by the complete text."""
    pair = Pair("", ("a b" + " " * 500) * 40 + "a b " * 20_000)
    full = int(tokens.pack([pair]).full[0])
    assert tokens.max_length + 1 < full < int(tokens.count([pair])[0]) / 2


def test_short_texts_are_left_alone(tokens, complete):
    pair = Pair("Represent the text: ", "a cat " * 100)
    assert tokens.pack([pair]).full[0] == complete.pack([pair]).full[0] == tokens.count([pair])[0]
    assert tokens._splits_words
