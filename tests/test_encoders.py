"""Encoders of any library behind one protocol: one loader, one treatment of the instruction."""

import json

import numpy as np
import pytest

from instructor_embedding import InputError, InstructorError, ModelNotFoundError, Pair, VectorError
from instructor_embedding.encoders import PairEncoder, SentenceTransformerEncoder, library_of, load, of

PAIRS = [Pair("Represent it: ", "rye"), Pair("", "plum"), Pair("Represent it: ", "bread")]


class SentenceTransformer:
    """As sentence-transformers' class takes its arguments."""

    __module__ = "sentence_transformers.models"

    def __init__(self):
        self.calls = []

    def encode(self, texts, prompt=None, batch_size=32, show_progress_bar=None):
        self.calls.append((prompt, texts, batch_size))
        return np.array([[len(prompt or ""), len(text)] for text in texts], np.float64)


def test_models_of_this_package(models, folders):
    encoder = load(str(folders["relu"]), device="cpu", batch_size=2)
    assert isinstance(encoder, PairEncoder)
    np.testing.assert_allclose(encoder.encode(PAIRS), models["relu"].encode(PAIRS), atol=1e-6)
    assert encoder.instructed
    assert encoder.fingerprint == of(models["relu"]).fingerprint
    assert encoder.count_tokens(PAIRS) == list(models["relu"].count_tokens(PAIRS))
    encoder.encode([Pair("", "word " * 3000)])  # truncated without a warning


def test_the_instruction_is_a_prompt():
    model = SentenceTransformer()
    encoder = of(model, "st", batch_size=7)
    assert isinstance(encoder, SentenceTransformerEncoder)
    assert encoder.encode(PAIRS).tolist() == [[14, 3], [0, 4], [14, 5]]
    assert model.calls == [("Represent it: ", ["rye", "bread"], 7), (None, ["plum"], 7)]
    assert not encoder.instructed
    assert of(encoder) is encoder
    with pytest.raises(InputError, match="st cannot count tokens"):
        encoder.count_tokens(PAIRS)


def test_any_object():
    class Mine:
        name = "mine"

        def __init__(self, rows):
            self.rows = rows

        def encode(self, pairs):
            return self.rows

    assert of(Mine(np.ones((3, 2)))).encode(PAIRS).dtype == np.float32
    assert of(Mine([])).name == "mine"
    for rows, message in ((np.ones((2, 2)), r"shape \(2, 2\) for 3 texts"), (np.full((3, 2), np.nan), "not finite")):
        with pytest.raises(VectorError, match=message):
            of(Mine(rows)).encode(PAIRS)
    with pytest.raises(InputError, match="nothing to encode"):
        of(Mine(None)).encode([])
    with pytest.raises(InputError, match="int is not an encoder"):
        of(3)


def test_the_checkpoint_tells_its_library(folders, tmp_path):
    assert library_of("instructor-mini") == library_of(str(folders["gated"])) == "instructor"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert library_of(str(tmp_path)) == "sentence-transformers"
    with pytest.raises(ModelNotFoundError, match=r"there is no folder '\./no/such'"):
        library_of("./no/such")
    with pytest.raises(InputError, match="did you mean 'instructor'"):
        load("x", "instructer")


def test_sentence_transformers_itself(folders):
    pytest.importorskip("sentence_transformers")
    encoder = load(f"sentence-transformers:{folders['relu']}", device="cpu")
    assert isinstance(encoder, SentenceTransformerEncoder)
    assert encoder.encode(PAIRS).shape == (3, 48)
    assert encoder.fingerprint.startswith("weights:")


def test_folders_without_a_model_are_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "file").write_text("")
    for name in (tmp_path, tmp_path / "file"):
        with pytest.raises(InstructorError, match=str(name)) as caught:
            load(str(name))
        assert len(str(caught.value).splitlines()) == 1
