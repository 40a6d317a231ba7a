"""A very long text is shortened where no token that is encoded can change."""

import random

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, Pair
from instructor_embedding.serving.long_text import shortened, splits_at_space

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


@pytest.mark.parametrize("seed", range(8))
def test_tokens_are_the_same(tokens, seed):
    draw = random.Random(seed)
    text = "".join(draw.choice(WORDS) + draw.choice([" ", "  ", "\n", "\t ", "\u00a0"]) for _ in range(20_000))
    pair = Pair("Represent the text: ", text)
    short = shortened(pair, tokens)
    full, prefix = tokens.pack([pair]), tokens.pack([short])
    assert np.array_equal(full.ids, prefix.ids)
    assert np.array_equal(full.skip, prefix.skip)
    assert prefix.full[0] > prefix.lengths[0]
    assert len(short.text) < len(text) / 2


@pytest.mark.parametrize(
    "text", ["日" * 50_000, "x" * 50_000, "\U0001f600 " * 20_000, " " * 50_000 + "a", "a" + " " * 50_000]
)
def test_odd_texts_have_the_same_tokens(tokens, text):
    pair = Pair("", text)
    assert np.array_equal(tokens.pack([pair]).ids, tokens.pack([shortened(pair, tokens)]).ids)


def test_short_texts_are_left_alone(tokens):
    pair = Pair("Represent the text: ", "a cat " * 100)
    assert shortened(pair, tokens) is pair
    assert splits_at_space(tokens)
