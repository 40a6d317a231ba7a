"""Vectors over HTTP are encode's, bit for bit, in every precision, whatever else is in the batch."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, InstructorError
from tests.serving.running import running
from tests.serving.test_embeddings import bits, invariant, same

WORDS = ["cat", "parton", "energy", "loss", "in", "matter", "naïve", "日本", "12.5", "—"]
INSTRUCTIONS = ["", "Represent the Science title:", "Represent the query for retrieving supporting documents: "]


def request(seed):
    draw = random.Random(seed)
    return [
        [draw.choice(INSTRUCTIONS), " ".join(draw.choices(WORDS, k=draw.choice([1, 3, 9, 40, 700])))]
        for _ in range(draw.randint(1, 9))
    ]


@pytest.mark.parametrize(
    ("kind", "precision"), [("relu", "exact"), ("gated", "exact"), ("relu", "fast"), ("relu", "int8")]
)
def test_bits_under_load(folders, tmp_path, precision, kind):
    try:
        model = INSTRUCTOR(folders[kind], device="cpu", precision=precision)
        model.encode(["a cat"])
    except InstructorError as error:
        pytest.skip(f"this machine does not compute in {precision}: {error}")
    requests = [request(seed) for seed in range(48)]
    with running(tmp_path, f"tiny={folders[kind]}", "--precision", precision, "--log", "off") as server:

        def answered(pairs):
            return bits(server.post("/v1/embeddings", input=pairs, encoding_format="base64"))

        with ThreadPoolExecutor(12) as clients:
            replies = list(clients.map(answered, requests))
    exact = invariant(model)
    for pairs, rows in zip(requests, replies, strict=True):
        expected = model.encode(pairs, truncate="quiet")
        if exact:
            np.testing.assert_array_equal(rows, expected)
        else:
            same(model, rows, expected)
