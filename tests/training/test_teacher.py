"""Teachers' vectors: kept, looked up, cut off and gone on with; distillation from texts and from triples."""

import json

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, InputError, ModelNotFoundError, Pair
from instructor_embedding.training.teacher import Teacher, encoder_of
from tests.training.conftest import history

TEXTS = [Pair("Represent it: ", f"text number {number}") for number in range(40)]
RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.standard_normal((40, 6)).astype(np.float32)
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)


def counting(calls):
    table = {pair.text: row for pair, row in zip(TEXTS, VECTORS, strict=True)}

    def encode(pairs):
        calls.append(len(pairs))
        return np.array([table[pair.text] for pair in pairs])

    return lambda: encode


def test_each_text_is_computed_once(tmp_path):
    calls = []
    teacher = Teacher(tmp_path, "t")
    assert teacher.fill(TEXTS[:10] * 3, counting(calls), progress=False) == 10
    assert teacher.fill(TEXTS, counting(calls), progress=False) == 30
    assert calls == [10, 30]
    again = Teacher(tmp_path, "t")
    assert len(again) == 40
    assert again.fill(TEXTS, counting(calls), progress=False) == 0
    np.testing.assert_allclose(again.vectors(TEXTS[::-3]), UNIT[::-3], atol=1e-3)


def test_what_was_cut_off_is_computed_again(tmp_path):
    Teacher(tmp_path, "t").fill(TEXTS[:10], counting([]), progress=False)
    vectors = tmp_path / "vectors.f16"
    vectors.write_bytes(vectors.read_bytes()[:-5])
    teacher = Teacher(tmp_path, "t")
    assert len(teacher) == 9
    teacher.fill(TEXTS, counting([]), progress=False)
    np.testing.assert_allclose(Teacher(tmp_path, "t").vectors(TEXTS), UNIT, atol=1e-3)


def test_vectors_that_one_has(tmp_path):
    teacher = Teacher(tmp_path, "mine")
    teacher.add(TEXTS, VECTORS)
    np.testing.assert_allclose(teacher.vectors(TEXTS), UNIT, atol=1e-3)
    with pytest.raises(InputError, match=r"40 texts need vectors of shape \(40, d\), got \(3, 6\)"):
        teacher.add(TEXTS, VECTORS[:3])
    with pytest.raises(InputError, match="holds vectors of 6 dimensions, not of 5"):
        teacher.add([Pair("", "new")], VECTORS[:1, :5])


def test_the_instruction_counts_only_where_the_teacher_reads_it(tmp_path):
    other = [pair._replace(instruction="Represent the other: ") for pair in TEXTS]
    blind, seeing = Teacher(tmp_path / "blind", "t"), Teacher(tmp_path / "seeing", "t", instructions=True)
    for teacher in (blind, seeing):
        teacher.add(TEXTS, VECTORS)
    assert np.array_equal(blind.vectors(other), blind.vectors(TEXTS))
    with pytest.raises(InputError, match=r"holds no vector of 'text number 0' \(and of 40 in all\)"):
        seeing.vectors(other)


def test_fewer_dimensions_keep_most_of_the_cosines(tmp_path):
    low = (RANDOM.standard_normal((40, 3)) @ RANDOM.standard_normal((3, 6))).astype(np.float32)
    teacher = Teacher(tmp_path, "t")
    teacher.add(TEXTS, low)
    before = teacher.vectors(TEXTS)
    teacher.reduce(3)
    after = teacher.vectors(TEXTS)
    assert after.shape == (40, 3)
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=5e-3)


def test_another_teacher_is_refused(tmp_path):
    Teacher(tmp_path, "one")
    with pytest.raises(InputError, match="use another teacher_cache"):
        Teacher(tmp_path, "two")
    with pytest.raises(ModelNotFoundError, match="there is no folder '/nowhere/at/all'"):
        encoder_of("/nowhere/at/all", "cpu", False)


@pytest.mark.parametrize("form", ["txt", "jsonl"])
def test_a_student_comes_near_its_teacher(folders, tmp_path, form):
    """From a plain list of texts: the student's vectors turn towards the teacher's."""
    pytest.importorskip("transformers")
    from instructor_embedding.training.run import train

    words = ["red", "green", "blue", "large", "small", "bread", "stone", "water", "north", "river"]
    texts = [f"{a} {b} {c}" for a in words for b in words[:5] for c in words[::3]]
    file = tmp_path / f"texts.{form}"
    lines = texts if form == "txt" else [json.dumps({"text": text}) for text in texts]
    file.write_text("\n".join(lines), encoding="utf-8")
    flags = ["--init", "tiny", "--vocab_size", "80", "--text_file", file, "--teacher", folders["wide"]]
    flags += ["--teacher_cache", tmp_path / "cache", "--output_dir", tmp_path / "out", "--max_source_length", "32"]
    flags += ["--text_instruction", "Represent it: ", "--per_device_train_batch_size", "16", "--max_steps", "60"]
    flags += ["--learning_rate", "3e-3", "--logging_steps", "1", "--disable_tqdm", "true", "--report_to", "none"]
    train([*map(str, flags)])
    losses = history(tmp_path / "out")
    assert losses[-1] < 0.5 * losses[0]
    # the vectors are on disk now: the teacher itself is not needed any more
    place = flags.index("--teacher")
    del flags[place : place + 2]
    flags[:2] = ["--model_name_or_path", tmp_path / "out" / "init"]
    flags[flags.index("--output_dir") + 1] = tmp_path / "again"
    train([*map(str, flags)])
    assert history(tmp_path / "again") == losses


@pytest.mark.parametrize("kind", ["cosine", "mse", "similarity"])
def test_triples_with_a_teacher(folders, cache, tmp_path, kind):
    pytest.importorskip("transformers")
    from instructor_embedding.training.run import train

    flags = ["--model_name_or_path", folders["relu"], "--cache_dir", cache, "--teacher", folders["gated"]]
    flags += ["--distill_loss", kind, "--distill_weight", "5", "--output_dir", tmp_path / "out", "--max_steps", "12"]
    flags += ["--learning_rate", "1e-3", "--logging_steps", "1", "--disable_tqdm", "true", "--report_to", "none"]
    flags += ["--chunk_tokens", "100"]
    train([*map(str, flags)])
    assert len(history(tmp_path / "out")) == 12
    texts = [["Represent the question 0: ", "what is appleer brickly"]]
    before, after, wanted = (
        INSTRUCTOR(place, device="cpu").encode(texts)[0]
        for place in (folders["relu"], tmp_path / "out", folders["gated"])
    )
    if kind != "similarity":
        assert after @ wanted > before @ wanted
