"""Groups and maps of vectors."""

import re

import numpy as np
import pytest

from instructor_embedding import InputError
from instructor_embedding.analysis.clusters import clustered, words_of
from instructor_embedding.analysis.maps import Panel, draw, projected


@pytest.fixture
def blobs():
    chance = np.random.default_rng(0)
    centers = chance.normal(size=(3, 16))
    labels = np.repeat(np.arange(3), [30, 20, 10])
    return (centers[labels] + 0.1 * chance.normal(size=(60, 16))).astype(np.float32), labels


def test_the_number_of_groups_is_chosen(blobs):
    vectors, labels = blobs
    for clustering in (clustered(vectors), clustered(vectors, 3)):
        assert clustering.groups == 3
        assert (clustering.labels == labels).all()  # the largest group is 0
        assert clustering.silhouette > 0.5
    assert clustered(vectors, 5).groups == 5


def test_too_few_texts():
    for rows, k in ((2, None), (4, 4), (4, 1)):
        with pytest.raises(InputError, match=f"{rows} texts in"):
            clustered(np.eye(rows, 8, dtype=np.float32), k)
    with pytest.raises(InputError, match="at least 3 texts"):
        projected(np.eye(2, dtype=np.float32))


def test_words_describe_groups():
    texts = ["the rye bread", "wheat bread", "copper price", "zinc price"]
    assert words_of(texts, np.array([0, 0, 1, 1]), 1) == [["bread"], ["price"]]


def test_pca_keeps_the_largest_distances(blobs):
    points = projected(blobs[0])
    assert points.shape == (60, 2)
    np.testing.assert_array_equal(points, projected(blobs[0]))
    assert np.linalg.norm(points[0] - points[59]) > 5 * np.linalg.norm(points[0] - points[1])
    with pytest.raises(InputError, match="did you mean 'pca'"):
        projected(blobs[0], "pac")


def test_pictures(blobs, tmp_path):
    panels = [Panel("by <topic>", projected(blobs[0])), Panel("by mood", projected(blobs[0][::-1]))]
    texts = [f"text {number} </script>" for number in range(60)]
    draw(str(tmp_path / "a.png"), panels, [str(label) for label in blobs[1]], texts)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    draw(str(tmp_path / "a.html"), panels, [""] * 60, texts)
    page = (tmp_path / "a.html").read_text()
    assert "by &lt;topic&gt;" in page
    assert page.count("</script>") == 1
    assert not re.search(r"(?:src|href)=|https?://", page)
    with pytest.raises(InputError, match=r"\.png or a \.html"):
        draw(str(tmp_path / "a.pdf"), panels, [""] * 60, texts)
