"""Forks, exits, default devices and pickles: what surrounds a process does not reach the vectors."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, Instruction
from instructor_embedding.engine import native_library

START = """
import os, sys
import numpy as np
import torch
from instructor_embedding import INSTRUCTOR
torch.set_num_threads(2)
TEXTS = [f"text number {number} " * 9 for number in range(60)]
def load(**options):
    model = INSTRUCTOR(sys.argv[1], device="cpu", **options)
    if sys.argv[2] == "torch":
        from instructor_embedding.engine.backends import native
        native.supports = lambda *_: False
    return model
"""
FORK = """
expected = load().encode(TEXTS)
torch.randn(600, 600) @ torch.randn(600, 600)
child = os.fork()
if not child:
    fresh = load()
    os._exit(0 if np.abs(fresh.encode(TEXTS) - expected).max() < 1e-5 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
FORK_LOADED = """
model = load()
expected = model.encode(TEXTS)
child = os.fork()
if not child:
    os._exit(0 if np.abs(model.encode(TEXTS) - expected).max() < 1e-5 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
POOL = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
model = load()
expected = model.encode(TEXTS)
with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
    for vectors in pool.map(model.encode, [TEXTS] * 4):
        assert np.abs(vectors - expected).max() < 1e-5
"""
AT_EXIT = """
import atexit
model = load()
def last():
    rows = list(model.encode_stream(iter(TEXTS * 3), window=7))
    print(len(rows), model.encode("the last text").shape)
atexit.register(last)
"""
DEFAULT_DEVICE = """
torch.set_default_device("meta")
model = load()
vectors = model.encode(TEXTS)
assert model.encode(TEXTS[:2], convert_to_tensor=True).device.type == "cpu"
small = load(precision=sys.argv[3] or None)
assert np.isfinite(small.encode(TEXTS)).all()
torch.set_default_device("cpu")
assert np.abs(load().encode(TEXTS) - vectors).max() < 1e-6
"""


def run(code, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", START + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def engines():
    return ["native", "torch"] if native_library.kernels() else ["torch"]


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("code", [FORK, FORK_LOADED, POOL], ids=["fresh", "loaded", "pool"])
def test_forked_children_encode(code, engine, folders):
    done = run(code, folders["relu"], engine)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("engine", engines())
def test_at_exit(engine, folders):
    done = run(AT_EXIT, folders["relu"], engine)
    assert (done.stdout, done.returncode) == ("180 (48,)\n", 0), done.stderr


@pytest.mark.parametrize("engine", engines())
def test_another_default_device(engine, folders):
    precision = "int8" if native_library.supports(native_library.INT8) and engine == "native" else ""
    done = run(DEFAULT_DEVICE, folders["relu"], engine, precision)
    assert done.returncode == 0, done.stderr


def test_pickles_do_not_depend_on_what_was_encoded(model):
    def dumped():
        return pickle.dumps(model)

    model.encode("a")
    before = dumped()
    model.encode([["Represent the new instruction: ", "a"], "word " * 20_000], truncate="quiet")
    assert dumped() == before
    assert "new instruction" not in str(copy.deepcopy(model).tokens.__dict__)


class Loud(str):
    """A string that prints itself otherwise."""

    def __str__(self):
        return self.upper() + "!"

    def strip(self, *_):
        return "stripped"


def test_subclasses_of_str_are_their_characters(models):
    model = models["relu"]
    expected = model.encode([["Represent it: ", "rye bread"]])
    for pair in (["Represent it: ", Loud("rye bread")], [Loud("Represent it: "), "rye bread"]):
        np.testing.assert_array_equal(model.encode([pair]), expected)
    np.testing.assert_array_equal(model.encode(Loud("rye bread")), model.encode("rye bread"))
    np.testing.assert_array_equal(model.encode(["rye bread"], instruction=Loud("Represent it: ")), expected)


def test_a_default_instruction(model):
    texts = ["Represent the title:", "rye bread"]
    expected = model.encode(texts, instruction="")
    with pytest.raises(ValueError, match=r"set model\.default_instruction = ''"):
        model.encode(texts)
    model.default_instruction = ""
    np.testing.assert_array_equal(model.encode(texts), expected)
    model.default_instruction = Instruction("title")
    np.testing.assert_array_equal(model.encode(["rye"]), model.encode([["Represent the title: ", "rye"]]))
    np.testing.assert_array_equal(model.count_tokens(["rye"]), model.count_tokens([["Represent the title: ", "rye"]]))
    assert pickle.loads(pickle.dumps(model)).default_instruction == Instruction("title")


def change_relative_bias(model):
    with torch.no_grad():
        model.encoder.relative_bias.weight.add_(torch.randn_like(model.encoder.relative_bias.weight))


def change_one_element(model):
    with torch.no_grad():
        model.encoder.blocks[1].feed_forward.wi.weight[77, 33] += 5


def change_a_norm(model):
    with torch.no_grad():
        model.encoder.blocks[0].attention_norm.weight[5] *= 3


def replace_a_layer(model):
    model.encoder.blocks[0].attention.v = torch.nn.Linear(64, 64, bias=False)


def replace_a_parameter(model):
    model.encoder.blocks[0].attention.v.weight = torch.nn.Parameter(torch.randn(64, 64))


def assign_data(model):
    model.encoder.final_norm.weight.data = torch.rand(64)


def load_state(model):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["encoder.blocks.1.attention.o.weight"][3, 4] += 5
    model.load_state_dict(state)


def change_the_head(model):
    with torch.no_grad():
        model.head.dense[0].linear.weight[5, 6] += 3


def turn_off_the_norm(model):
    model.head.normalize = False


def hook_a_block(model):
    model.encoder.blocks[0].register_forward_hook(lambda module, inputs, output: output * torch.linspace(0, 2, 64))


def remove_a_layer(model):
    del model.encoder.blocks[1]


CHANGES = [
    change_relative_bias,
    change_one_element,
    change_a_norm,
    replace_a_layer,
    replace_a_parameter,
    assign_data,
    load_state,
    change_the_head,
    turn_off_the_norm,
    hook_a_block,
    remove_a_layer,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changes_are_seen(change, model):
    """What the documentation of `refresh` says is seen without it."""
    before = model.encode(["some words of a text"])
    change(model)
    changed = model.encode(["some words of a text"])
    assert np.abs(changed - before).max() > 1e-6
    model.refresh()
    np.testing.assert_array_equal(model.encode(["some words of a text"]), changed)


def test_a_model_without_values(model):
    with pytest.raises(ValueError, match="holds no values"):
        model.to("meta").encode("a text")


@pytest.mark.parametrize("write", [
    lambda weight: weight.data.view(-1).__setitem__(4099, 50.0),
    lambda weight: weight.detach().numpy().__setitem__((64, 3), 50.0),
])  # fmt: skip
def test_refresh_sees_the_rest(write, model):
    before = model.encode(["some words of a text"])
    write(model.encoder.blocks[1].feed_forward.wi.weight)
    model.refresh()
    assert np.abs(model.encode(["some words of a text"]) - before).max() > 1e-6


BAD_VECTORS = {
    "strings": (["a", "b"], r"must be values of shape \(n, dim\)"),
    "None": (None, "must be"),
    "ragged rows": ([[1.0, 2.0], [1.0]], "all rows of one length"),
    "another width": (np.ones((2, 3)), "the first vectors have 48 dimensions, the second 3"),
    "ragged tensors": ([torch.ones(48), torch.ones(2)], "tensors of different shapes"),
    "not finite": (np.full((2, 48), np.nan), "not finite"),
    "three dimensions": (torch.ones(2, 2, 48), r"must be of shape \(n, dim\)"),
}


@pytest.mark.parametrize("case", BAD_VECTORS)
def test_similarity_refuses(case, models):
    vectors, message = BAD_VECTORS[case]
    model = models["relu"]
    with pytest.raises(ValueError, match=message):
        model.similarity(model.encode(["a"]), vectors)


def test_similarity_takes_every_form(models):
    model = models["relu"]
    array = model.encode(["a", "b", "c"])
    expected = array @ array.T
    tensor = torch.from_numpy(array)
    for form in (array, tensor, list(tensor), array.tolist(), list(array)):
        cosines = model.similarity(form, array)
        assert isinstance(cosines, torch.Tensor)
        np.testing.assert_allclose(cosines.numpy(), expected, atol=1e-6)
    assert model.similarity(array[0], array).shape == (1, 3)
    assert model.similarity(array[0].tolist(), array).shape == (1, 3)


def test_as_sentence_transformer_of_the_bundled_model():
    pytest.importorskip("sentence_transformers")
    model = INSTRUCTOR(device="cpu", precision="exact")
    texts = ["rye bread", "a plum cake on Sundays"]
    other = model.as_sentence_transformer().encode(texts, prompt="Represent the title: ")
    np.testing.assert_allclose(other, model.encode(texts, instruction="Represent the title: "), atol=1e-5)


def test_other_libraries_cannot_load_quantized_folders(models, tmp_path):
    import json

    from instructor_embedding import quantize

    quantize(models["relu"]).save(tmp_path / "small")
    types = [entry["type"] for entry in json.loads((tmp_path / "small" / "modules.json").read_text())]
    assert not [kind for kind in types if "sentence_transformers" in kind]
    assert "SentenceTransformer" not in (tmp_path / "small" / "README.md").read_text()
    library = pytest.importorskip("sentence_transformers")
    with pytest.raises(Exception, match="instructor_embedding"):
        library.SentenceTransformer(str(tmp_path / "small"))
