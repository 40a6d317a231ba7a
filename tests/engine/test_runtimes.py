"""The graph on ONNX Runtime and OpenVINO: the vectors of torch, kept on disk by fingerprint."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, InputError, MissingExtraError, as_pairs
from instructor_embedding.engine.backends.onednn import bfloat16_is_native
from instructor_embedding.graph.builder import feeds
from instructor_embedding.graph.cache import graph_of

pytest.importorskip("onnx", reason="onnx is not installed")
LIBRARY = {"onnx": "onnxruntime", "openvino": "openvino"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def copies(folders, tmp_path_factory):
    """Copies of the golden checkpoints."""
    home = tmp_path_factory.mktemp("exported")
    return {kind: shutil.copytree(folder, home / kind) for kind, folder in folders.items()}


@pytest.mark.parametrize("kind", ["relu", "gated", "wide"])
@pytest.mark.parametrize("name", LIBRARY)
def test_equals_torch(name, kind, copies, models, inputs):
    pytest.importorskip(LIBRARY[name])
    model = INSTRUCTOR(copies[kind], device="cpu", backend=name)
    expected = models[kind].encode(inputs["pairs"], truncate="quiet")
    np.testing.assert_allclose(model.encode(inputs["pairs"], truncate="quiet"), expected, atol=1e-6)


@pytest.mark.parametrize(("name", "precision"), [("onnx", "int8"), ("openvino", "fast")])
def test_other_precisions_are_near(name, precision, copies, models, inputs):
    pytest.importorskip(LIBRARY[name])
    if precision == "fast" and not bfloat16_is_native():
        pytest.skip("this CPU has no bfloat16")
    if precision == "int8" and not torch.cpu._is_vnni_supported():
        with pytest.raises(InputError, match="needs a CPU with 8-bit dot products"):
            INSTRUCTOR(copies["relu"], device="cpu", backend=name, precision=precision)
        return
    model = INSTRUCTOR(copies["relu"], device="cpu", backend=name, precision=precision)
    expected = models["relu"].encode(inputs["pairs"], truncate="quiet")
    assert 0.99 < (model.encode(inputs["pairs"], truncate="quiet") * expected).sum(1).min() < 1 - 1e-7


def test_graph_is_kept_and_follows_the_weights(folders, tmp_path):
    pytest.importorskip("onnxruntime")
    INSTRUCTOR(folders["relu"], device="cpu").save(tmp_path / "model")
    model = INSTRUCTOR(tmp_path / "model", device="cpu", backend="onnx")
    before = model.encode(["A text."])
    written = list((tmp_path / "cache" / "instructor_embedding" / "onnx").glob("*.onnx"))
    assert len(written) == 1
    stamp = written[0].stat().st_mtime_ns
    INSTRUCTOR(tmp_path / "model", device="cpu", backend="onnx").encode(["A text."])
    assert written[0].stat().st_mtime_ns == stamp
    model.encoder.embedding.weight.data.mul_(1.5)
    assert np.abs(model.encode(["A text."]) - before).max() > 1e-4
    assert len(list((tmp_path / "cache" / "instructor_embedding" / "onnx").glob("*.onnx"))) == 2
    assert INSTRUCTOR(tmp_path / "model", device="cpu").encode(["A text."]) == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("library", LIBRARY)
def test_the_models_folder_is_left_alone_and_modes_are_usual(library, folders, tmp_path):
    pytest.importorskip(LIBRARY[library])
    INSTRUCTOR(folders["relu"], device="cpu").save(tmp_path / "model")
    before = sorted((tmp_path / "model").rglob("*"))
    model = INSTRUCTOR(tmp_path / "model", device="cpu", backend=library)
    assert model.encode(["A text."]).shape == (1, 48)
    assert sorted((tmp_path / "model").rglob("*")) == before
    (tmp_path / "usual").touch()
    home = tmp_path / "cache" / "instructor_embedding" / "onnx"
    assert sorted(file.suffix for file in home.iterdir()) == [".data", ".onnx"]
    assert {file.stat().st_mode for file in home.iterdir()} == {(tmp_path / "usual").stat().st_mode}


def test_auto_says_what_it_took(copies, models, caplog):
    with caplog.at_level("INFO", "instructor_embedding"):
        model = INSTRUCTOR(copies["relu"], device="cpu", backend="auto")
        vectors = model.encode(["A text."])
    assert caplog.messages[0].startswith("backend='auto' takes ")
    assert "torch" in caplog.messages[0]
    np.testing.assert_allclose(vectors, models["relu"].encode(["A text."]), atol=1e-6)
    assert model.backend is model.backend


def test_refusals(copies, monkeypatch):
    with pytest.raises(InputError, match="backend='onx' is unknown; did you mean 'onnx'"):
        INSTRUCTOR(copies["relu"], backend="onx")
    with pytest.raises(InputError, match="does not compute with precision='fast'; it knows: exact, int8"):
        INSTRUCTOR(copies["relu"], backend="onnx", precision="fast")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"instructor-embed\[onnx\]\""):
        INSTRUCTOR(copies["relu"], device="cpu", backend="onnx").encode(["A text."])


def test_runs_without_torch(copies, models, tmp_path):
    """The files stand alone: ONNX Runtime and numpy are enough."""
    pytest.importorskip("onnxruntime")
    model = models["relu"]
    path = graph_of(model)
    batch = model.tokens.pack(as_pairs(model_pairs()))
    np.savez(tmp_path / "inputs.npz", **feeds(batch))
    code = (
        "import sys, numpy as np, onnxruntime\n"
        f"inputs = dict(np.load({str(tmp_path / 'inputs.npz')!r}))\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, onnxruntime.InferenceSession({str(path)!r}).run(None, inputs)[0])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), model.encode(model_pairs()), atol=1e-6)


def model_pairs():
    return [["Represent the text:", "One."], ["Represent:", "Another text, longer."], ["", "No instruction."]]
