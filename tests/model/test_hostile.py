"""Checkpoints made to hurt: one error that names the file, in bounded time and memory, and nothing executed."""

import contextlib
import json
import os
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, CheckpointError, Encoder, InputError, OutputError
from instructor_embedding.engine import native_library
from instructor_embedding.model.folder.safetensors_file import read_safetensors
from instructor_embedding.model.folder.torch_file import read_torch
from tests.model import folders as layouts

BIN, SAFE, CONFIG, TOKENIZER = "pytorch_model.bin", "model.safetensors", "config.json", "tokenizer.json"
SECONDS = 20  # on a busy machine; most take milliseconds


@pytest.fixture
def folder(folders, tmp_path):
    return layouts.copied(folders["relu"], tmp_path / "model")


def refused(folder, message):
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match=message) as caught:
        INSTRUCTOR(folder, device="cpu")
    assert caught.value.__cause__ is None
    if native_library.kernels():
        with pytest.raises(CheckpointError, match=message):
            Encoder(folder)
    assert time.perf_counter() - start < SECONDS


CONFIGS = {
    "no number of layers that exists": ({"num_layers": 100_000}, "num_layers 100000; it must be an integer from 1"),
    "more layers than memory": ({"num_layers": 1000}, "num_layers 1000"),
    "a width of 2**62": ({"d_model": 2**62}, "d_model"),
    "a dropout of 2": ({"dropout_rate": 2}, "dropout_rate 2; it must be a number from 0 to below 1"),
    "a distance of 0": ({"relative_attention_max_distance": 0}, "relative_attention_max_distance 0"),
    "a distance of 2": ({"relative_attention_max_distance": 2}, "must be more than a quarter"),
    "a distance of 8": ({"relative_attention_max_distance": 8}, "must be more than a quarter"),
    "two buckets": ({"relative_attention_num_buckets": 2}, "relative_attention_num_buckets below 4"),
    "three buckets": ({"relative_attention_num_buckets": 3}, "relative_attention_num_buckets below 4"),
    "a negative epsilon": ({"layer_norm_epsilon": -1}, "layer_norm_epsilon -1"),
    "an activation of a list": ({"feed_forward_proj": [1]}, "feed_forward_proj"),
    "a type of a dict": ({"model_type": {"a": 1}}, "model_type"),
    "a padding token outside": ({"pad_token_id": 10**6}, "pad_token_id 1000000; it must be a token id below"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_configs(case, folder):
    changes, message = CONFIGS[case]
    layouts.edited(folder / CONFIG, **changes)
    refused(folder, message)


TEXTS = {
    "infinity": ('{"pad_token_id": Infinity}', "pad_token_id inf"),
    "not a number": ('{"layer_norm_epsilon": NaN}', "layer_norm_epsilon nan"),
    "5,000 digits": ('{"d_ff": ' + "9" * 5000 + "}", "a number that is too long"),
    "300 digits": ('{"d_ff": ' + "9" * 300 + "}", "d_ff of 997 bits"),
    "200,000 deep": ("[" * 200_000, "nested too deeply|corrupt json"),
    "200,000 objects deep": ('{"a":' * 200_000, "nested too deeply|corrupt json"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_texts_of_configs(case, folder):
    text, message = TEXTS[case]
    if text.startswith("{") and text.endswith("}"):
        content = json.loads((folder / CONFIG).read_text())
        name = text[2:].partition('"')[0]
        content.pop(name, None)
        text = json.dumps(content)[:-1] + ", " + text[1:]
    (folder / CONFIG).write_text(text)
    refused(folder, message)


def test_a_byte_order_mark_is_skipped(folder, models):
    for name in (CONFIG, "modules.json", "2_Dense/config.json", "sentence_bert_config.json"):
        (folder / name).write_text((folder / name).read_text(), encoding="utf-8-sig")
    np.testing.assert_array_equal(INSTRUCTOR(folder, device="cpu").encode("a"), models["relu"].encode("a"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
@pytest.mark.parametrize(
    "name", [CONFIG, TOKENIZER, BIN, "modules.json", "1_Pooling/config.json", "2_Dense/config.json"]
)
def test_files_that_are_none(name, kind, folder):
    (folder / name).unlink()
    if kind == "fifo":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    else:
        (folder / name).mkdir()
    refused(folder, f"{name} is not a regular file")


def test_an_index_that_is_a_device(folder):
    (folder / BIN).unlink()
    (folder / f"{SAFE}.index.json").symlink_to("/dev/zero")
    refused(folder, "is not a regular file")


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_a_dense_config_that_is_no_object(content, folder):
    (folder / "2_Dense" / CONFIG).write_text(content)
    refused(folder, "2_Dense/config.json is not a json object")


@pytest.mark.parametrize("index", ["first", None, [1], 1.5, {"a": 1}])
def test_odd_indices_of_modules(index, folder):
    entries = json.loads((folder / "modules.json").read_text())
    entries[1]["idx"] = index
    (folder / "modules.json").write_text(json.dumps(entries))
    refused(folder, "modules.json has a module with idx")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["encoder.block.1.layer.1.DenseReluDense.wo.weight", "shared.weight"])
@pytest.mark.parametrize("form", [BIN, SAFE])
def test_values_that_are_not_finite(form, name, value, folder):
    tensors = torch.load(folder / BIN, weights_only=True)
    tensors[name][3, 5] = value
    torch.save(tensors, folder / BIN)
    if form == SAFE:
        layouts.as_safetensors(folder)
    refused(folder, "with a value that is infinite or not a number")


def saved(folder, tensors):
    torch.save(tensors, folder / BIN)


def odd_tensors(folder, kind):
    tensors = torch.load(folder / BIN, weights_only=True)
    name = "shared.weight"
    weight = tensors[name]
    tensors[name] = {
        "sparse": weight.to_sparse,
        "meta": lambda: weight.to("meta"),
        "nested": lambda: torch.nested.nested_tensor([weight, weight]),
        "expanded": lambda: weight[:1].expand(weight.shape),
        "complex": lambda: weight.to(torch.complex64),
        "quantized": lambda: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        "a list": lambda: [1, 2],
        "None": lambda: None,
    }[kind]()
    torch.save(tensors, folder / BIN)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["sparse", "meta", "nested", "expanded", "complex", "quantized", "a list", "None"])
def test_odd_tensors(kind, folder):
    odd_tensors(folder, kind)
    refused(folder, BIN)


def test_transposed_and_shared_tensors_are_read(folder, models):
    tensors = torch.load(folder / BIN, weights_only=True)
    tensors = {name: value.T.contiguous().T if value.ndim == 2 else value for name, value in tensors.items()}
    tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"]
    torch.save(tensors, folder / BIN)
    np.testing.assert_allclose(INSTRUCTOR(folder, device="cpu").encode("a"), models["relu"].encode("a"), atol=1e-6)


def test_keys_that_are_no_strings(folder):
    torch.save({1: torch.zeros(2), "a": torch.zeros(2)}, folder / BIN)
    refused(folder, "names are not strings")


class Evil:
    def __reduce__(self):
        return (os.system, ("touch owned",))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_is_executed(legacy, protocol, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, folder / BIN, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol)
    refused(folder, "pickled objects that are not tensors")
    assert not (tmp_path / "owned").exists()


def archive(folder, program):
    with zipfile.ZipFile(folder / BIN, "w") as file:
        file.writestr("archive/data.pkl", program)


PROGRAMS = {
    "a deep nest": b"\x80\x02" + b"]" * 900_000 + b"a" * 899_999 + b".",
    "a long program": b"\x80\x02" + b"N0" * 3_000_000 + b".",
    "a huge memo": b"\x80\x02}r\xff\xff\xff\x7f.",
    "a huge string": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x.",
    "no end": b"\x80\x02}",
    "a dict of itself": b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
    "an odd protocol": b"\x80\x63}.",
    "an empty stack": b"\x80\x02s.",
}


@pytest.mark.parametrize("case", PROGRAMS)
def test_programs_of_pickles(case, folder):
    archive(folder, PROGRAMS[case])
    refused(folder, BIN)


def test_every_truncation_is_one_error(folder):
    for layout in ("zip", "legacy", "safetensors"):
        path = folder / BIN
        if layout == "legacy":
            layouts.old_torch_format(folder)
        elif layout == "safetensors":
            layouts.as_safetensors(folder)
            path = folder / SAFE
        content = path.read_bytes()
        for size in [*range(1, 300, 7), *range(300, len(content), len(content) // 60)]:
            path.write_bytes(content[:size])
            with pytest.raises(CheckpointError, match=r"truncated or corrupt|not a mapping"):
                INSTRUCTOR(folder, device="cpu")
        path.write_bytes(content)


@pytest.mark.parametrize("layout", ["zip", "legacy", "safetensors"])
def test_mutated_bytes_never_get_out(layout, folder):
    """Whatever a byte becomes: the model loads, or it is one of our errors."""
    path = folder / BIN
    if layout == "legacy":
        layouts.old_torch_format(folder)
    elif layout == "safetensors":
        layouts.as_safetensors(folder)
        path = folder / SAFE
    content, random = bytearray(path.read_bytes()), np.random.RandomState(0)
    head = [random.randint(0, min(4000, len(content))) for _ in range(150)]
    tail = [len(content) - 1 - random.randint(0, min(9000, len(content))) for _ in range(150)]
    for position in [*head, *tail]:
        before, content[position] = content[position], random.randint(0, 256)
        path.write_bytes(content)
        with contextlib.suppress(CheckpointError):
            INSTRUCTOR(folder, device="cpu")
        content[position] = before


def test_the_readers_agree_with_torch(folder):
    for legacy in (False, True):
        for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.bool):
            tensors = {"a": torch.arange(12).reshape(3, 4).to(dtype), "b": torch.ones(()).to(dtype)}
            torch.save(tensors, folder / BIN, _use_new_zipfile_serialization=not legacy)
            arrays = read_torch(folder / BIN)
            for name, tensor in tensors.items():
                expected = tensor.view(torch.uint8) if tensor.ndim else tensor.reshape(1).view(torch.uint8)
                assert arrays[name].shape == tuple(tensor.shape)
                assert arrays[name].tobytes() == expected.numpy().tobytes()


MEMORY = """
import resource, sys
from instructor_embedding import CheckpointError, Encoder
from instructor_embedding.model.folder.safetensors_file import read_safetensors
from instructor_embedding.model.folder.torch_file import read_torch
from pathlib import Path
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_torch(Path(sys.argv[1]))
except CheckpointError as error:
    print(error)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
"""


def test_a_tensor_that_repeats_itself_takes_no_memory(folder):
    """250 kB on disk that would become 16 GB."""
    torch.save({"a": torch.zeros(1).expand(1 << 32)}, folder / BIN)
    done = subprocess.run([sys.executable, "-c", MEMORY, str(folder / BIN)], capture_output=True, text=True, check=True)
    assert "repeats its elements by strides" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/proc"), reason="needs a place that cannot be written")
@pytest.mark.parametrize("layout", ["sentence-transformers", "legacy-1.0"])
def test_saving_where_nothing_can_be_written(layout, models, tmp_path):
    for path in ("/proc/x", "/dev/null/x"):
        with pytest.raises((InputError, OutputError), match=r"cannot save to|is a file"):
            models["relu"].save(path, layout=layout)
    with pytest.raises(InputError, match="path is empty"):
        models["relu"].save("", layout=layout)
    code = (
        "import resource, signal, sys\nfrom instructor_embedding import INSTRUCTOR, OutputError\n"
        "model = INSTRUCTOR(sys.argv[1], device='cpu')\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try:\n    model.save(sys.argv[2], layout=sys.argv[3])\nexcept OutputError as error:\n    print(error)\n"
    )
    models["relu"].save(tmp_path / "model")
    arguments = [str(tmp_path / "model"), str(tmp_path / "full"), layout]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert "cannot save to" in done.stdout, done.stderr
    assert not list((tmp_path / "full").iterdir())


def test_what_a_killed_save_left_is_removed(models, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".saving-999999999-x").mkdir()
    (tmp_path / "out" / f".saving-{os.getpid()}-x").mkdir()
    models["relu"].save(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob(".saving-*")] == [f".saving-{os.getpid()}-x"]


def test_a_tensor_of_too_many_dimensions(tmp_path):
    header = json.dumps({"weight": {"dtype": "F32", "shape": [0] * 100, "data_offsets": [0, 0]}}).encode()
    (tmp_path / SAFE).write_bytes(struct.pack("<Q", len(header)) + header)
    torch.save({"weight": torch.zeros([0] * 60)}, tmp_path / BIN)
    with pytest.raises(CheckpointError, match="its header is not that of a safetensors file"):
        read_safetensors(tmp_path / SAFE)
    with pytest.raises(CheckpointError, match="weight has 60 dimensions"):
        read_torch(tmp_path / BIN)
