"""Mining on sets worked out by hand, with dense and sparse vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructor_embedding import InputError
from instructor_embedding.medi import mine
from instructor_embedding.medi.lexical import BM25

sparse = pytest.importorskip("scipy.sparse")


def at_angles(*degrees):
    """Unit vectors in the plane: their cosine is that of the difference."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)


FORMS = pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])


@FORMS
def test_classification(form):
    #                   a0  a1   b2  b3   a4   c5
    vectors = form(at_angles(0, 10, 12, 40, 50, 170))
    positives, negatives = mine.classification(vectors, ["a", "a", "b", "b", "a", "c"])
    assert positives.tolist() == [1, 0, 3, 2, 1, -1]
    assert negatives.tolist() == [2, 2, 1, 4, 3, 4]


def test_classification_of_one_label():
    positives, negatives = mine.classification(at_angles(0, 10, 30), ["a"] * 3)
    assert positives.tolist() == [1, 0, 1]
    assert negatives.tolist() == [-1, -1, -1]


@FORMS
def test_generation(form):
    inputs, outputs = form(at_angles(0, 5, 10, 90)), form(at_angles(0, 90, 5, 0))
    positives, negatives = mine.generation(inputs, outputs)
    # 0 and 2 are near in both; 0 and 1 in the input alone; 3 and 0, a little less 3 and 2, in the output alone
    assert positives.tolist() == [2, 2, 0, 2]
    assert negatives.tolist() == [1, 0, 1, 1]


@FORMS
def test_hard_negatives(form):
    queries = at_angles(0, 0, 60, 120)
    positives = at_angles(10, 20, 70, 130)
    matches = [{10, 11}, {10, 11}, {12}, {13}]
    # 0 and 1 are the same query, so neither positive may be the other's negative
    negatives = mine.hard_negatives(form(queries), form(positives), [10, 11, 12, 13], matches, same=0.99)
    assert negatives.tolist() == [2, 2, 1, 2]


def test_guard_against_false_negatives():
    queries, positives = at_angles(0, 40, 80), at_angles(20, 21, 60)
    ids = ([10, 11, 12], [{10}, {11}, {12}])
    # text 1 is almost the positive of query 0, so it is passed over
    assert mine.hard_negatives(queries, positives, *ids, same=0.9)[0] == 2
    assert mine.hard_negatives(queries, positives, *ids, same=1.0, guard=1.0)[0] == 1
    # nearer to the query than its own positive: taken only where nothing else is left
    assert mine.hard_negatives(at_angles(0, 90), at_angles(40, 5), [10, 11], [{10}, {11}], same=0.9)[0] == 1


def test_no_candidates():
    same = mine.hard_negatives(at_angles(0, 0), at_angles(0, 0), [1, 1], [{1}, {1}])
    assert same.tolist() == [-1, -1]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 12), st.integers(1, 200), st.integers(0, 9))
def test_nearest_is_exact_whatever_the_blocks(queries, corpus, count, block, seed):
    random = np.random.RandomState(seed)
    a, b = (random.randn(size, 4).astype(np.float32) for size in (queries, corpus))
    old, mine.BLOCK = mine.BLOCK, block
    try:
        blocks = list(mine.nearest(a, b, count))
    finally:
        mine.BLOCK = old
    assert np.concatenate([rows for rows, _, _ in blocks]).tolist() == list(range(queries))
    scores = np.concatenate([block for _, _, block in blocks])
    expected = -np.sort(-(a @ b.T), axis=1)[:, :count]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@FORMS
def test_rows_of_unit_norm(form):
    rows = mine.unit(form(np.array([[3.0, 4.0], [0, 0], [0, 2]], np.float32)))
    rows = rows.toarray() if hasattr(rows, "toarray") else rows
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [0, 1]], rtol=1e-6)


def test_whatever_an_encoder_returns():
    torch = pytest.importorskip("torch")
    for rows in ([[3, 4]], torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16, requires_grad=True), np.array([[3, 4]])):
        np.testing.assert_allclose(mine.unit(rows), [[0.6, 0.8]], rtol=1e-6)
    for wrong, why in (
        ([[1, 2], [3]], "not vectors of one size"),
        ([1.0, 2.0], r"shape \(2,\)"),
        ([[1.0, float("nan")]], "not finite, for text 0"),
    ):
        with pytest.raises(InputError, match=why):
            mine.unit(wrong)


def test_bm25_scores_are_those_of_the_library():
    library = pytest.importorskip("bm25s")
    documents = ["a red cat", "red red dog in red", "the sea and a ship", "!!", "a cat and a dog"]
    queries = ["red cat", "cat cat", "unknown", "dog ship", ""]
    rows, columns = BM25().relate(queries, documents)
    all_scores = (rows @ columns.T).toarray()
    index = library.BM25(method="lucene")
    words = {"token_pattern": r"(?u)\b\w+\b", "stopwords": "en", "show_progress": False}
    index.index(library.tokenize(documents, **words), show_progress=False)
    for query, scores in zip(queries, all_scores, strict=True):
        tokens = library.tokenize(query, return_ids=False, **words)[0]
        expected = index.get_scores(tokens) if tokens else np.zeros(len(documents))
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_bm25_vectors():
    pytest.importorskip("bm25s")
    vectors = mine.unit(BM25().encode(["A red cat", "one cat", "my dog", "!!"]))
    cosines = (vectors @ vectors.T).toarray()
    assert cosines[0, 1] > 0.2 > cosines[0, 2] == 0
    assert cosines[3].tolist() == [0, 0, 0, 0]
    assert BM25().encode(["?", "!"]).shape[0] == 2
    assert BM25().relate([], [])[0].shape[0] == 0
