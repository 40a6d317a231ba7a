"""The counting of operations, and that a measurement adds up."""

import numpy as np
import pytest

from instructor_embedding.engine.measure import built_in_texts, measure, operations
from instructor_embedding.model.t5 import T5Config


def test_operations_are_those_of_the_products():
    config = T5Config(100, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=3)
    length = 5
    products = 2 * length * (3 * 8 * 12 + 12 * 8 + 2 * 8 * 16) + 2 * 2 * length * length * 12
    assert operations(config, np.array([length])) == 2 * products
    assert operations(config, np.array([5, 5])) == 2 * operations(config, np.array([5]))


@pytest.mark.parametrize("precision", ["exact", "int8"])
def test_measure(models, precision):
    model = models["relu"].eval()
    pairs = built_in_texts(40, words=6)
    measured = measure(pairs, model.tokens, model.backend, model.encoder.config, precision, rounds=2)
    assert measured.texts == 40
    assert measured.tokens == int(model.count_tokens(pairs).sum())
    assert measured.tokens_per_second / measured.texts_per_second == pytest.approx(measured.tokens / 40)
    assert 0 < measured.latency_ms <= measured.latency_p95_ms
    assert measured.share > 0
    assert measured.memory_mb > 50


def test_built_in_texts_are_the_same_each_time():
    assert built_in_texts(5, 10) == built_in_texts(5, 10)
    assert len({pair.instruction for pair in built_in_texts(8, 10)}) == 4
    lengths = [len(pair.text.split()) for pair in built_in_texts(500, 20)]
    assert 15 < np.median(lengths) < 25
