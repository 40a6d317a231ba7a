"""The quality gate of quantization: measures, bounds, and the command around them."""

import gzip
import json
import warnings

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, InputError, Pair, quantize
from instructor_embedding.quantization import check

TEXTS = [f"{thing} {where}, number {number}" for thing in ("A ferry", "Rye bread", "Copper", "The court")
         for where in ("in the harbor", "from the oven", "on the market") for number in range(4)]  # fmt: skip


def test_agreement_counts_neighbors_and_cosines():
    random = np.random.default_rng(0)
    before = random.standard_normal((50, 16)).astype(np.float32)
    same = check.agreement(before, 3 * before)
    assert same.cosine == pytest.approx(1)
    assert same.overlap == 1
    assert same.texts == 50
    other = check.agreement(before, random.standard_normal((50, 16)))
    assert abs(other.cosine) < 0.2
    assert other.overlap == pytest.approx(10 / 49, abs=0.08)
    assert other.lowest < other.cosine
    with pytest.raises(InputError, match="vectors of the same texts"):
        check.agreement(before, before[:3])


def test_compare_counts_equal_texts_once(models):
    pairs = [Pair("Represent: ", text) for text in TEXTS + TEXTS]
    agreement = check.compare(models["relu"], quantize(models["relu"], "int8"), pairs)
    assert agreement.texts == len(TEXTS)
    assert 0.999 < agreement.cosine < 1


def test_each_bound_has_its_sentence():
    bounds = check.Bounds(0.99, 0.9, 0.3)
    good = check.Agreement(0.995, 0.9, 0.95, 10)
    assert bounds.violations(good, {"a": 0.5, "b": 0.0}) == []
    assert "mean cosine is 0.98000" in bounds.violations(check.Agreement(0.98, 0.9, 0.95, 10), {})[0]
    assert "80.0% of the neighbors" in bounds.violations(check.Agreement(0.995, 0.9, 0.8, 10), {})[0]
    assert "fell by 0.50 points" in bounds.violations(good, {"a": 1.0, "b": 0.0})[0]
    assert bounds.violations(good, {"a": float("nan")})
    assert set(check.BOUNDS) == {"int8", "int4", "bfloat16", "float16", "float32"}


def texts_file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    return path


def test_command_writes_and_reports(cli, folders, tmp_path):
    out = tmp_path / "small"
    done = cli("quantize", folders["relu"], out, "--check", texts_file(tmp_path), "--min-overlap", "0.8", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["agreement"]["cosine"] > 0.999
    assert facts["bytes"] < 0.32 * facts["bytes_float32"]
    assert INSTRUCTOR(out, device="cpu").encode(["A text."]).shape == (1, 48)
    done = cli("info", out, "--json")
    assert json.loads(done.out)["weights"] == "float32, int8"
    assert json.loads(done.out)["parameters"] * 4 == facts["bytes_float32"]


def test_command_refuses_a_model_that_violates_the_bounds(cli, folders, tmp_path):
    out = tmp_path / "small"
    arguments = ["quantize", folders["relu"], out, "--weights", "int4", "--check", texts_file(tmp_path)]
    done = cli(*arguments, "--min-cosine", "0.9999")
    assert done.code == 1
    assert "below 0.9999; nothing was written" in done.err
    assert "cosine 0.9" in done.out
    assert not out.exists()
    assert cli(*arguments, "--min-cosine", "0.9999", "--force").code == 0
    assert (out / "model.safetensors").exists()


def test_command_asks_before_it_replaces_the_model_itself(cli, folders, tmp_path):
    home = tmp_path / "model"
    INSTRUCTOR(folders["relu"], device="cpu").save(home)
    before = (home / "model.safetensors").read_bytes()
    (tmp_path / "link").symlink_to(home)
    for same in (home, f"{tmp_path}/../{tmp_path.name}/model", tmp_path / "link"):
        done = cli("quantize", home, same)
        assert done.code == 2
        assert "is the model itself" in done.err
        assert "--force" in done.err
    assert (home / "model.safetensors").read_bytes() == before
    done = cli("quantize", home, home, "--force")
    assert done.code == 0, done.err
    again = INSTRUCTOR(home, device="cpu", precision="exact").encode(TEXTS)
    assert (again * INSTRUCTOR(folders["relu"], device="cpu").encode(TEXTS)).sum(1).min() > 0.999


def test_rounding_twice_is_reported(cli, folders, tmp_path):
    """int4 from int8 weights loses more than from float32."""
    assert cli("quantize", folders["relu"], tmp_path / "int8").err.count("note") == 0
    done = cli("quantize", tmp_path / "int8", tmp_path / "int4", "--weights", "int4")
    assert done.code == 0
    assert "note: the model already has int8 weights, so int4 rounds them a second time" in done.err
    small = INSTRUCTOR(tmp_path / "int8", device="cpu", precision="exact")
    with pytest.warns(UserWarning, match="rounds them a second time"):
        quantize(small, "int4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize(small, "float32")
        quantize(small, "int8")


def test_command_scores_tasks(cli, folders, tmp_path):
    pytest.importorskip("mteb")
    home = tmp_path / "tasks" / "STSBenchmark"
    home.mkdir(parents=True)
    with gzip.open(home / "test.jsonl.gz", "wt", encoding="utf-8") as file:
        for number, text in enumerate(TEXTS[:-1]):
            row = {"sentence1": text, "sentence2": TEXTS[number + 1], "score": number % 5}
            file.write(json.dumps(row) + "\n")
    bounds = ("--min-overlap", "0.8", "--max-loss", "5")
    done = cli("quantize", folders["relu"], tmp_path / "small", "--check", home.parent, "--json", *bounds)
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    old, new = facts["scores"]["STSBenchmark"]
    assert old == pytest.approx(new, abs=5)
    assert facts["agreement"]["texts"] >= len(TEXTS)


def test_export_command(cli, folders, tmp_path):
    pytest.importorskip("onnx")
    done = cli("export", "onnx", folders["relu"], tmp_path / "out", "--weights", "int8")
    assert done.code == 0, done.err
    assert (tmp_path / "out" / "model.onnx").exists()
    assert "model.onnx: " in done.err
