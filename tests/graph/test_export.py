"""Exported files against torch, run by the example in a process that never imports torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, InputError, MissingExtraError, export, quantize

pytest.importorskip("onnx", reason="onnx is not installed")
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "without_torch.py"
LIBRARY = {"onnx": "onnxruntime", "openvino": "openvino"}
PAIRS = [
    ["Represent the Science title: ", "Parton energy loss in QCD matter"],
    ["Represent the text:", "One."],
    ["", "No instruction."],
    ["Represent the question for retrieving the documents that support it: ", "ferry"],
    ["Represent: ", "a text that is longer than the model takes " * 40],
    ["Represent the sentence for clustering; Input: ", "Ω naïve — 漢字 🚢"],
]
CODE = """
import json, runpy, sys
import numpy as np
names = runpy.run_path(sys.argv[1])
model = names["Exported"](names["Path"](sys.argv[2]))
pairs = json.load(open(sys.argv[3]))
np.save(sys.argv[4], np.concatenate([model.encode(pairs), *(model.encode([pair]) for pair in pairs)]))
assert "torch" not in sys.modules and "instructor_embedding" not in sys.modules
"""


def run_without_torch(folder, tmp_path):
    (tmp_path / "pairs.json").write_text(json.dumps(PAIRS), encoding="utf-8")
    arguments = [EXAMPLE, folder, tmp_path / "pairs.json", tmp_path / "out.npy"]
    subprocess.run([sys.executable, "-c", CODE, *map(str, arguments)], check=True)
    return np.load(tmp_path / "out.npy")


@pytest.mark.parametrize("kind", ["relu", "gated", "wide"])
@pytest.mark.parametrize("library", LIBRARY)
def test_float32_is_torch(library, kind, models, tmp_path):
    """One batch of texts of all lengths, and each text alone."""
    pytest.importorskip(LIBRARY[library])
    export(models[kind], tmp_path / "exported", library)
    expected = models[kind].encode(PAIRS, truncate="quiet")
    vectors = run_without_torch(tmp_path / "exported", tmp_path)
    np.testing.assert_allclose(vectors, np.concatenate([expected, expected]), atol=1e-5)


@pytest.mark.parametrize(("library", "weights"), [
    ("onnx", "float16"), ("onnx", "bfloat16"), ("onnx", "int8"), ("openvino", "float16"), ("openvino", "int8"),
])  # fmt: skip
def test_smaller_weights_are_those_of_torch(library, weights, models, tmp_path):
    """The weights are those of a quantized folder; 8-bit matmuls round their input, each runtime in its own way."""
    pytest.importorskip(LIBRARY[library])
    path = export(models["relu"], tmp_path / "exported", library, weights)
    quantize(models["relu"], weights).save(tmp_path / "same")
    same = INSTRUCTOR(tmp_path / "same", device="cpu", precision="exact").encode(PAIRS, truncate="quiet")
    vectors = run_without_torch(tmp_path / "exported", tmp_path)
    np.testing.assert_allclose(
        vectors, np.concatenate([same, same]), atol={"int8": 1e-2, "float16": 5e-4, "bfloat16": 4e-3}[weights]
    )
    exact = models["relu"].encode(PAIRS, truncate="quiet")
    assert (vectors[: len(PAIRS)] * exact).sum(1).min() > (0.999 if weights == "int8" else 0.9999)
    assert np.abs(vectors[: len(PAIRS)] - exact).max() > 1e-6
    export(models["relu"], tmp_path / "full", library)
    small, full = (sum(file.stat().st_size for file in folder.glob(f"{path.stem}.*")
                       if file.suffix not in (".xml", ".onnx"))
                   for folder in (path.parent, tmp_path / "full"))  # fmt: skip
    assert small < {"int8": 0.3, "float16": 0.55, "bfloat16": 0.55}[weights] * full


def test_a_quantized_model_exports_its_own_codes(models, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    small = quantize(models["gated"], "int8")
    ways = [export(model, tmp_path / name, "onnx", "int8") for name, model in (("a", small), ("b", models["gated"]))]
    batch = small.tokenize(PAIRS)
    inputs = {name: batch[name].numpy() for name in ("input_ids", "attention_mask", "context_masks")}
    inputs["attention_mask"] = (inputs["input_ids"] != 0).astype(np.int64)
    vectors = [onnxruntime.InferenceSession(str(path)).run(None, inputs)[0] for path in ways]
    np.testing.assert_array_equal(*vectors)


def test_refusals(models, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="library='onx' is unknown; did you mean 'onnx'"):
        export(models["relu"], tmp_path, "onx")
    with pytest.raises(InputError, match=r"weights='bfloat16' is unknown.*known: float32, float16, int8"):
        export(models["relu"], tmp_path, "openvino", "bfloat16")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; pass a folder to export to"):
        export(models["relu"], tmp_path / "file")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"instructor-embed\[onnx\]"):
        export(models["relu"], tmp_path / "new")
    assert not (tmp_path / "new").exists()
