"""Vectors in 8 bits, 1 bit and fewer dimensions: codes, decoding, search, and stores that read the codes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from instructor_embedding import InputError, VectorQuantizer, rescore, search_codes, truncated
from instructor_embedding.quantization.search import overlap
from instructor_embedding.vectors import nearest, unit

RANDOM = np.random.default_rng(7)


TOPICS, OFFSET = RANDOM.standard_normal((8, 96)), RANDOM.standard_normal(96)


def clustered(count):
    """Unit vectors that vary in few directions, about a point off zero, as those of real models do."""
    rows = RANDOM.standard_normal((count, 8)) @ TOPICS / 3 + OFFSET + 0.1 * RANDOM.standard_normal((count, 96))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


DOCUMENTS, QUERIES = clustered(3000), clustered(60)
TRUTH = nearest(unit(QUERIES), unit(DOCUMENTS), 10)[1]


@pytest.mark.parametrize(("precision", "dtype", "width", "error"), [
    ("int8", np.int8, 96, 0.02), ("uint8", np.uint8, 96, 0.01), ("binary", np.uint8, 12, 0.7),
])  # fmt: skip
def test_codes_decode_to_their_vectors(precision, dtype, width, error, tmp_path):
    quantizer = VectorQuantizer.fit(DOCUMENTS, precision)
    codes = quantizer.encode(DOCUMENTS)
    assert codes.dtype == dtype
    assert codes.shape == (3000, width)
    again = quantizer.decode(codes)
    assert again.dtype == np.float32
    assert np.linalg.norm(again - DOCUMENTS) < error * np.linalg.norm(DOCUMENTS)
    np.testing.assert_array_equal(quantizer.encode(again), codes)
    quantizer.save(tmp_path / "q.npz")
    np.testing.assert_array_equal(VectorQuantizer.load(tmp_path / "q.npz").encode(QUERIES), quantizer.encode(QUERIES))


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (7, 12), elements=st.floats(-1e6, 1e6, width=32)), st.sampled_from(["int8", "uint8"]))
def test_8_bits_are_within_a_step(rows, precision):
    quantizer = VectorQuantizer.fit(rows, precision)
    step = (quantizer.high - quantizer.low) / 254
    wrong = np.abs(quantizer.decode(quantizer.encode(rows)) - rows)
    assert (wrong <= step + 1e-6 * np.abs(rows).max() + 1e-12).all()


def test_values_outside_the_range_are_clipped():
    quantizer = VectorQuantizer.fit(DOCUMENTS, "int8", kept=0.99)
    assert quantizer.encode(np.full((1, 96), 9.0)).max() == 127
    assert quantizer.encode(np.full((1, 96), -9.0)).min() == -127
    complete = VectorQuantizer.fit(DOCUMENTS, "int8")
    assert quantizer.high[0] < complete.high[0]
    uint8 = VectorQuantizer.fit(DOCUMENTS, "uint8", kept=0.99)
    assert uint8.encode(np.full((1, 96), 9.0)).min() == 255


@pytest.mark.parametrize(("precision", "oversampling", "least"), [
    ("int8", 1, 0.97), ("uint8", 1, 0.97), ("binary", 1, 0.3), ("binary", 4, 0.6),
])  # fmt: skip
def test_search_finds_neighbors(precision, oversampling, least):
    quantizer = VectorQuantizer.fit(DOCUMENTS, precision)
    scores, ids = search_codes(QUERIES, quantizer.encode(DOCUMENTS), quantizer, oversampling=oversampling)
    assert scores.shape == ids.shape == (60, 10)
    assert ids.dtype == np.int64
    assert (np.diff(scores, axis=1) <= 0).all()
    assert overlap(ids, TRUTH) > least


def test_rescoring_with_the_vectors_recovers_what_bits_lost(tmp_path):
    quantizer = VectorQuantizer.fit(DOCUMENTS, "binary")
    codes = quantizer.encode(DOCUMENTS)
    np.save(tmp_path / "vectors.npy", DOCUMENTS)
    on_disk = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    plain = overlap(search_codes(QUERIES, codes, quantizer, oversampling=1)[1], TRUTH)
    scores, ids = search_codes(QUERIES, codes, quantizer, oversampling=20, vectors=on_disk)
    assert overlap(ids, TRUTH) > max(0.95, plain + 0.2)
    np.testing.assert_allclose(scores[:, 0], (QUERIES * DOCUMENTS[ids[:, 0]]).sum(1), atol=1e-6)


def test_calibrated_bits_beat_signs():
    """Vectors of real models do not have their mean at zero."""
    fitted = VectorQuantizer.fit(DOCUMENTS, "binary")
    signs = VectorQuantizer("binary", -np.ones(96, np.float32), np.ones(96, np.float32))
    np.testing.assert_array_equal(signs.encode(QUERIES), np.packbits(QUERIES > 0, axis=1))
    learned, plain = (
        overlap(search_codes(QUERIES, codes.encode(DOCUMENTS), codes, oversampling=1)[1], TRUTH)
        for codes in (fitted, signs)
    )
    assert learned > plain + 0.02


def test_search_over_many_chunks_is_search_over_one(monkeypatch):
    for precision in ("int8", "binary"):
        quantizer = VectorQuantizer.fit(DOCUMENTS, precision)
        codes = quantizer.encode(DOCUMENTS)
        single = search_codes(QUERIES, codes, quantizer, 7)
        with monkeypatch.context() as patch:
            patch.setattr("instructor_embedding.quantization.search._CHUNK", 113)
            chunked = search_codes(QUERIES, codes, quantizer, 7)
        # many documents have the same Hamming distance, and the last candidates are any of them
        assert overlap(chunked[1], single[1]) > (0.9 if precision == "binary" else 0.99)
    few = search_codes(QUERIES, quantizer.encode(DOCUMENTS[:3]), quantizer, 10)
    assert few[1].shape == (60, 3)


def test_bits_without_numpy_2(monkeypatch):
    quantizer = VectorQuantizer.fit(DOCUMENTS, "binary")
    codes = quantizer.encode(DOCUMENTS)
    new = search_codes(QUERIES[:5], codes, quantizer)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(search_codes(QUERIES[:5], codes, quantizer)[1], new[1])


def test_faiss_reads_the_codes():
    faiss = pytest.importorskip("faiss")
    bits = VectorQuantizer.fit(DOCUMENTS, "binary")
    index = faiss.IndexBinaryFlat(96)
    index.add(bits.encode(DOCUMENTS))
    _, candidates = index.search(bits.encode(QUERIES), 200)
    _, ids = rescore(QUERIES, candidates, 10, vectors=DOCUMENTS)
    assert overlap(ids, TRUTH) > 0.95

    uint8 = VectorQuantizer.fit(DOCUMENTS, "uint8")
    scalar = faiss.IndexScalarQuantizer(96, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    scalar.train(DOCUMENTS)
    faiss.copy_array_to_vector(np.concatenate([uint8.low, uint8.high - uint8.low]), scalar.sq.trained)
    scalar.add_sa_codes(uint8.encode(DOCUMENTS))
    np.testing.assert_allclose(scalar.reconstruct_n(0, 50), uint8.decode(uint8.encode(DOCUMENTS[:50])), atol=1e-6)
    assert overlap(scalar.search(QUERIES, 10)[1], TRUTH) > 0.97


def test_usearch_reads_the_codes():
    usearch = pytest.importorskip("usearch.index")
    int8 = VectorQuantizer.fit(DOCUMENTS, "int8")
    index = usearch.Index(ndim=96, metric="cos", dtype="i8")
    index.add(np.arange(3000), int8.encode(DOCUMENTS))
    matches = index.search(int8.encode(QUERIES), 10, exact=True)
    assert overlap(np.asarray(matches.keys).astype(np.int64), TRUTH) > 0.93

    bits = VectorQuantizer.fit(DOCUMENTS, "binary")
    index = usearch.Index(ndim=96, metric="hamming", dtype="b1")
    index.add(np.arange(3000), bits.encode(DOCUMENTS))
    matches = index.search(bits.encode(QUERIES), 200, exact=True)
    ids = rescore(QUERIES, np.asarray(matches.keys).astype(np.int64), 10, vectors=DOCUMENTS)[1]
    assert overlap(ids, TRUTH) > 0.95


def test_missing_candidates():
    scores, ids = rescore(QUERIES[:2], np.array([[5, -1, 9], [-1, -1, -1]]), 3, vectors=DOCUMENTS)
    assert set(ids[0]) == {5, 9, -1}
    assert ids[1].tolist() == [-1, -1, -1]
    assert np.isneginf(scores[1]).all()


def test_truncated():
    cut = truncated(DOCUMENTS, 32)
    np.testing.assert_allclose(np.linalg.norm(cut, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(cut[3] * np.linalg.norm(DOCUMENTS[3, :32]), DOCUMENTS[3, :32], atol=1e-6)
    for wrong in (0, 97, 3.5, True):
        with pytest.raises(InputError, match="dimension must be an integer from 1 to 96"):
            truncated(DOCUMENTS, wrong)


def test_refusals(tmp_path):
    quantizer = VectorQuantizer.fit(DOCUMENTS, "int8")
    with pytest.raises(InputError, match="precision='int9' is unknown; did you mean"):
        VectorQuantizer.fit(DOCUMENTS, "int9")
    with pytest.raises(InputError, match="kept must be above"):
        VectorQuantizer.fit(DOCUMENTS, "int8", kept=2)
    with pytest.raises(InputError, match="vectors have 5 dimensions, but 96"):
        quantizer.encode(np.ones((2, 5)))
    with pytest.raises(InputError, match=r"a single vector is vectors\[None\]"):
        quantizer.encode(DOCUMENTS[0])
    bad = DOCUMENTS[:4].copy()
    bad[2, 3] = np.nan
    with pytest.raises(InputError, match="not finite, the first in row 2"):
        quantizer.encode(bad)
    with pytest.raises(InputError, match="codes must be int8 of shape"):
        search_codes(QUERIES, DOCUMENTS, quantizer)
    with pytest.raises(InputError, match="oversampling must be"):
        search_codes(QUERIES, quantizer.encode(DOCUMENTS), quantizer, oversampling=0)
    with pytest.raises(InputError, match="rescore needs vectors="):
        rescore(QUERIES[:1], np.array([[1]]))
    with pytest.raises(InputError, match="candidates must be of shape"):
        rescore(QUERIES, TRUTH[:3], vectors=DOCUMENTS)
    (tmp_path / "x.npz").write_bytes(b"no npz")
    with pytest.raises(InputError, match=r"not a file of VectorQuantizer\.save"):
        VectorQuantizer.load(tmp_path / "x.npz")


def test_needs_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from instructor_embedding import search_codes, VectorQuantizer; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
