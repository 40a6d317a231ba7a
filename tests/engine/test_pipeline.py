"""One by one = packed = padded = any batch size = any order; bounded memory; invalid vectors are rejected."""

import threading
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instructor_embedding import INSTRUCTOR, InputError, Pair, TruncationError, TruncationWarning, VectorError
from instructor_embedding.engine import pipeline

WORDS = st.sampled_from(
    ["the", "ferry", "Harbor", "rye", "bread", "12", "bridge?", "copper:", "été", "猫", "</s>", "<pad>", "...", "a"]
)
TEXTS = st.lists(WORDS, max_size=60).map(" ".join)
INSTRUCTIONS = st.sampled_from(["", " ", "the ", "Represent the title:", "Represent the Science sentence: ", "x " * 40])
PAIRS = st.lists(st.builds(Pair, INSTRUCTIONS, TEXTS), min_size=1, max_size=12)
TOLERANCE = 1e-6


@settings(max_examples=60, deadline=None)
@given(pairs=PAIRS, batch_size=st.integers(1, 9), seed=st.integers(0, 99), kind=st.sampled_from(["relu", "gated"]))
def test_batch_size_and_order_do_not_matter(models, pairs, batch_size, seed, kind):
    model = models[kind]
    alone = np.stack([model.encode(pair, truncate="quiet") for pair in pairs])
    together = model.encode(pairs, batch_size=batch_size, truncate="quiet")
    assert np.abs(alone - together).max() <= TOLERANCE
    order = np.random.default_rng(seed).permutation(len(pairs))
    shuffled = model.encode([pairs[index] for index in order], truncate="quiet")
    assert np.abs(shuffled - together[order]).max() <= TOLERANCE


@settings(max_examples=40, deadline=None)
@given(pairs=PAIRS, kind=st.sampled_from(["relu", "gated", "wide"]))
def test_padded_is_packed(models, pairs, kind):
    model = models[kind]
    with torch.no_grad():
        padded = model(model.tokenize(pairs))["sentence_embedding"].numpy()
    assert np.abs(padded - model.encode(pairs, truncate="quiet")).max() <= TOLERANCE


@settings(max_examples=20, deadline=None)
@given(pairs=PAIRS, window=st.integers(1, 5))
def test_stream_is_encode(models, pairs, window):
    model = models["relu"]
    streamed = list(model.encode_stream(iter(pairs), window=window))
    assert np.abs(np.stack(streamed) - model.encode(pairs, truncate="quiet")).max() <= TOLERANCE


def test_stream_reads_at_most_two_windows_ahead(models):
    read = []

    def endless():
        number = 0
        while True:
            read.append(number)
            yield f"text {number}"
            number += 1

    rows = list(islice(models["relu"].encode_stream(endless(), window=10), 25))
    assert len(rows) == 25
    assert len(read) <= 50


def test_abandoned_stream_leaves_no_thread(models):
    before = threading.active_count()
    stream = models["relu"].encode_stream((f"text {number}" for number in range(100)), window=10)
    next(stream)
    stream.close()
    assert threading.active_count() <= before


def test_stream_gives_what_came_before_a_bad_item(models):
    rows = []
    with pytest.raises(InputError, match=r"sentences\[13\]"):
        rows.extend(models["relu"].encode_stream([*["text"] * 13, None, "text"], window=10))
    assert len(rows) >= 10


def test_equal_texts_are_computed_once(models):
    model = models["relu"]
    seen = []

    class Counting:
        dimension = 48

        def run(self, batch):
            seen.append(len(batch))
            return model.backend.run(batch)

    pairs = [Pair("", "a cat"), Pair("", "a dog"), Pair("x y z ", "a cat")] * 50
    windows = list(pipeline.encode(pairs, model.tokens, Counting(), budget=10_000))
    assert sum(seen) == 3
    vectors = np.concatenate([window.vectors for window in windows])
    assert np.abs(vectors - model.encode(pairs)).max() == 0
    assert not np.allclose(vectors[0], vectors[2])


def test_no_run_exceeds_the_budget(models):
    model = models["relu"]
    sizes = []

    class Counting:
        dimension = 48

        def run(self, batch):
            sizes.append((int(batch.starts[-1]), len(batch)))
            return model.backend.run(batch)

    texts = [Pair("", "word " * (number % 40)) for number in range(300)]
    list(pipeline.encode(texts, model.tokens, Counting(), budget=256))
    assert all(tokens <= 256 or texts == 1 for tokens, texts in sizes)
    assert len(sizes) > 5


def test_truncation_is_counted_and_reported(model):
    long = ["short", "word " * 600, "also short", "word " * 700]
    with pytest.warns(TruncationWarning, match=r"2 of 4 texts were cut to 512 tokens .*sentences\[1\]") as caught:
        model.encode(long)
    assert caught[0].filename == __file__
    with pytest.raises(TruncationError, match=r"sentences\[1\] has \d+ tokens"):
        model.encode(long, truncate="error")
    counts = model.count_tokens(long)
    assert counts.dtype == np.int32
    assert (counts > 512).tolist() == [False, True, False, True]
    model.max_seq_length = 2101
    assert model.encode(long, truncate="error").shape == (4, 48)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_broken_weights_never_give_a_vector(folders, value):
    model = INSTRUCTOR(folders["relu"], device="cpu")
    with torch.no_grad():
        model.encoder.final_norm.weight.fill_(value)
    with pytest.raises(VectorError, match=r"sentences\[0\].*weights are corrupt"):
        model.encode(["a", "b"])
