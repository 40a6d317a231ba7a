"""Teachers' vectors: stored, looked up, reduced; distillation from texts and from triples."""

import json
import time

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, InputError, ModelNotFoundError, Pair
from instructor_embedding.store import VectorStore
from tests.training.conftest import history

pytest.importorskip("transformers")

from instructor_embedding.training.settings import DistillationSettings
from instructor_embedding.training.teacher import Teacher, fill, opened

TEXTS = [Pair("Represent it: ", f"text number {number}") for number in range(40)]
RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.standard_normal((40, 6)).astype(np.float32)


def test_the_instruction_counts_only_where_the_teacher_reads_it(folders, tmp_path):
    other = [pair._replace(instruction="Represent the other: ") for pair in TEXTS]
    for reads in (False, True):
        folder = tmp_path / str(reads)
        settings = DistillationSettings(teacher=str(folders["relu"]), teacher_instructions=reads)
        fill(settings, folder, TEXTS, "cpu")
        teacher = opened(folder)
        model = INSTRUCTOR(folders["relu"], device="cpu")
        seen = TEXTS if reads else [Pair("", pair.text) for pair in TEXTS]
        np.testing.assert_allclose(teacher.vectors(TEXTS), model.encode(seen), atol=1e-3)
        if reads:
            with pytest.raises(InputError, match="has no vector of 'text number 0'; 40 are missing"):
                teacher.vectors(other)
        else:
            assert np.array_equal(teacher.vectors(other), teacher.vectors(TEXTS))


def test_a_filled_cache_needs_no_teacher_and_refuses_another(folders, tmp_path):
    fill(DistillationSettings(teacher=str(folders["relu"])), tmp_path / "cache", TEXTS, "cpu")
    fill(DistillationSettings(teacher_cache=str(tmp_path / "cache")), tmp_path / "cache", TEXTS, "cpu")
    with pytest.raises(InputError, match=r"teacher_cache: .* holds vectors of"):
        fill(DistillationSettings(teacher=str(folders["wide"])), tmp_path / "cache", TEXTS, "cpu")
    with pytest.raises(InputError, match="holds no vectors; pass teacher"):
        fill(DistillationSettings(teacher_cache="x"), tmp_path / "x", TEXTS, "cpu")


def test_fewer_dimensions_keep_most_of_the_cosines(tmp_path):
    low = (RANDOM.standard_normal((40, 3)) @ RANDOM.standard_normal((3, 6))).astype(np.float32)
    store = VectorStore(tmp_path, "t", "float16")
    store.add([Pair("", pair.text) for pair in TEXTS], low)
    teacher = Teacher(store)
    before = teacher.vectors(TEXTS)
    teacher.reduce(3)
    after = teacher.vectors(TEXTS)
    assert teacher.dimension == 3
    assert after.shape == (40, 3)
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=5e-3)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "nosuch/model", "all-nosuch"])
def test_a_missing_teacher_is_reported_at_once(tmp_path, monkeypatch, name):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    since = time.monotonic()
    with pytest.raises(ModelNotFoundError, match=f"there is no folder '{name}'"):
        fill(DistillationSettings(teacher=name), tmp_path, TEXTS, "cpu")
    assert time.monotonic() - since < 10


def test_the_bundled_model_is_a_teacher(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", None)  # nothing is looked up on the network
    fill(DistillationSettings(teacher="instructor-mini"), tmp_path, TEXTS[:3], "cpu")
    assert opened(tmp_path).vectors(TEXTS[:3]).shape == (3, 384)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["txt", "jsonl"])
def test_a_student_comes_near_its_teacher(folders, tmp_path, form):
    """From a plain list of texts: the student's vectors approach the teacher's."""
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
    position = flags.index("--teacher")
    del flags[position : position + 2]
    flags[:2] = ["--model_name_or_path", tmp_path / "out" / "init"]
    flags[flags.index("--output_dir") + 1] = tmp_path / "again"
    train([*map(str, flags)])
    assert history(tmp_path / "again") == losses


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cosine", "mse", "similarity"])
def test_triples_with_a_teacher(folders, cache, tmp_path, kind):
    from instructor_embedding.training.run import train

    flags = ["--model_name_or_path", folders["relu"], "--cache_dir", cache, "--teacher", folders["gated"]]
    flags += ["--distill_loss", kind, "--distill_weight", "5", "--output_dir", tmp_path / "out", "--max_steps", "12"]
    flags += ["--learning_rate", "1e-3", "--logging_steps", "1", "--disable_tqdm", "true", "--report_to", "none"]
    flags += ["--chunk_tokens", "100"]
    train([*map(str, flags)])
    assert len(history(tmp_path / "out")) == 12
    texts = [["Represent the question 0: ", "what is appleer brickly"]]
    before, after, expected = (
        INSTRUCTOR(position, device="cpu").encode(texts)[0]
        for position in (folders["relu"], tmp_path / "out", folders["gated"])
    )
    if kind != "similarity":
        assert after @ expected > before @ expected
