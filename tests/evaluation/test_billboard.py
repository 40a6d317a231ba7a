"""Billboard: the maximum cosine over the references, correlated with human scores."""

import gzip
import json

import numpy as np
import pytest

from instructor_embedding import InputError
from instructor_embedding.evaluation import billboard
from instructor_embedding.evaluation.baselines import baseline
from instructor_embedding.evaluation.instructions import Instructions
from instructor_embedding.evaluation.score import Results
from tests.conftest import SHARED
from tests.evaluation.conftest import WORDS, write_rows


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    hypotheses, references = [], []
    for segment in range(30):
        words = random.choice(WORDS, 5, replace=False)
        kept = int(random.integers(0, 5))
        text = " ".join([*words[:kept], *random.choice(WORDS, 5 - kept)])
        hypotheses.append({"hyp": text, "human_score": kept, "seg_id": segment})
        references.append({"seg_id": segment, "refs": [" ".join(words), "sun sun rain"]})
    write_rows(tmp_path / "mscoco_THumB-1.0.jsonl", hypotheses)
    write_rows(tmp_path / "mscoco" / "mscoco_references.jsonl.gz", references)
    return tmp_path


def test_best_cosines_are_those_of_every_pair():
    random = np.random.default_rng(1)
    vectors = random.standard_normal((12, 5)).astype(np.float32)
    cosines = billboard.best_cosines(vectors, [0, 1], [[2, 3, 4], [5]])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(cosines, [max(unit[0] @ unit[n] for n in (2, 3, 4)), unit[1] @ unit[5]], rtol=1e-6)
    vectors[0] = 0
    assert billboard.best_cosines(vectors, [0], [[1]])[0] == 0


def test_encoders(folder, recording, models, tmp_path):
    data = billboard.load("mscoco", folder)
    assert len(data.hypotheses) == 30
    assert all(len(refs) == 2 for refs in data.references)
    counted = billboard.evaluate(recording, data, results=Results(tmp_path / "scores.jsonl"))
    assert counted.value > 40
    assert {pair.instruction for pair in recording.seen} == {counted.config["instructions"]["text"]}
    assert set(counted.config["metrics"]) == {"spearman"}
    random = billboard.evaluate(baseline("random", []), data)
    assert abs(random.value) < 40 < counted.value
    pytest.importorskip("sklearn")
    assert billboard.evaluate(baseline("tf-idf", data.texts), data).value > 40
    assert -100 <= billboard.evaluate(models["relu"], data, instructions=Instructions("none")).value <= 100
    seen = len(recording.seen)
    again = billboard.evaluate(recording, data, results=Results(tmp_path / "scores.jsonl"))
    assert again.value == counted.value
    assert len(recording.seen) == seen


def test_broken_data(folder):
    for task, message in (("mscco", "task='mscco' is unknown.*'mscoco'"), ("cnndm", "cnndm_THumB-1.0.jsonl")):
        with pytest.raises(InputError, match=message):
            billboard.load(task, folder)
    references = folder / "mscoco" / "mscoco_references.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(references.read_bytes()).splitlines()]
    write_rows(references, rows[1:])
    with pytest.raises(InputError, match="no references for the segment '0'"):
        billboard.load("mscoco", folder)


@pytest.mark.skipif(not (SHARED / "data" / "billboard").is_dir(), reason="the shared data is not here")
def test_the_real_files():
    data = billboard.load("mscoco", SHARED / "data" / "billboard")
    assert len(data.hypotheses) > 1000
    assert {len(refs) for refs in data.references} <= {4, 5}
    random = billboard.evaluate(baseline("random", []), data).value
    tfidf = billboard.evaluate(baseline("tf-idf", data.texts), data).value
    assert abs(random) < 6 < tfidf
