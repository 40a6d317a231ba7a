"""The identity of a model: any change of what it computes with is seen, and nothing else."""

import shutil

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, CheckpointError
from instructor_embedding.fingerprint import of_files, of_model, of_texts


def test_a_folder(folders, tmp_path):
    mark = of_model(folders["relu"])
    copy = shutil.copytree(folders["relu"], tmp_path / "other name")
    assert of_model(copy) == of_model(str(copy)) == mark
    (copy / "README.md").write_text("another card")
    (copy / "training.json").write_text("{}")
    assert of_model(copy) == mark
    for file in [*copy.glob("*.json"), *copy.rglob("*.safetensors"), *copy.rglob("pytorch_model.bin")]:
        if file.name == "training.json":
            continue
        before = file.read_bytes()
        file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        if file.name != "modules.json":  # not JSON any more
            assert of_model(copy) != mark, file.name
        file.write_bytes(before)
    assert of_model(copy) == mark
    assert of_model(folders["gated"]) != mark


def test_a_module_has_the_fingerprint_of_its_folder(folders, tmp_path):
    folder = shutil.copytree(folders["gated"], tmp_path / "model")
    live = INSTRUCTOR(folder, device="cpu")
    assert of_model(live) == of_model(folder)
    assert of_model(INSTRUCTOR()).startswith("folder:")
    assert of_model(INSTRUCTOR(folder, device="cpu", dtype="bfloat16")).startswith("weights:")
    shutil.rmtree(folder)
    assert of_model(live).startswith("weights:")


def test_every_value_of_a_module_counts(model):
    mark = of_model(model)
    assert mark.startswith("folder:")
    assert of_model(model) == mark
    for parameter in model.parameters():
        flat = parameter.data.reshape(-1)
        index = len(flat) * 2 // 3
        value = flat[index].item()
        flat[index] += 1e-3
        assert of_model(model) != mark
        flat[index] = value
    assert of_model(model) == mark
    model.max_seq_length = 77
    assert of_model(model) != mark


def test_settings_count(model):
    mark = of_model(model)
    model.head.normalize = not model.head.normalize
    assert of_model(model) != mark


def test_objects_without_weights():
    class Constant:
        def __init__(self, value):
            self.value = value

        def encode(self, pairs):
            return np.full((len(pairs), 2), self.value)

    assert of_model(Constant(1.0)) == of_model(Constant(1.00001)) != of_model(Constant(2.0))
    assert of_model(Constant(1.0)).startswith("vectors:")


def test_other_dtypes_are_read():
    layer = torch.nn.Linear(3, 2)
    assert len({of_model(layer), of_model(layer.bfloat16()), of_model(torch.nn.Linear(3, 2))}) == 3


def test_no_folder(tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder"):
        of_model(tmp_path / "no")
    with pytest.raises(CheckpointError, match="holds no weights"):
        of_model(tmp_path)


def test_files_and_texts(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    files = [tmp_path / "a", tmp_path / "b"]
    assert of_files(files) == of_files(files[::-1]) != of_files(files[:1])
    assert of_texts(["a", "b"]) != of_texts(["ab"])
