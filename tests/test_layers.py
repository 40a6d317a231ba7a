"""Who may import whom: layers, no circles, heavy libraries only where they are needed."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
PACKAGE = "instructor_embedding"
LAYERS = {
    "__init__": 6,  # the public names, on top of all: nothing below may import the package itself
    "__main__": 6,
    "cli": 5,
    "serving": 4,
    "bulk": 4,
    "index": 4,
    "integrations": 4,
    "InstructorEmbedding": 7,
    "haystack_integrations": 5,
    "medi": 3,
    "training": 3,
    "evaluation": 3,
    "quantization": 3,
    "encoders": 2,
    "analysis": 3,
    "loading": 3,
    "instructor": 2,
    "encoder": 2,
    "engine": 2,
    "graph": 2,
    "model": 1,
    "files": 1,
    "vectors": 1,
    "fingerprint": 1,
    "store": 1,
    "instruction": 0,
    "namesake": 0,
    "errors": 0,
    "extras": 0,
    "version": 0,
}
# Sideways imports inside a layer that are meant; the circle test keeps them one-way.
SIDEWAYS = {
    ("instructor", "engine"),
    ("encoder", "engine"),
    ("encoders", "instructor"),
    ("encoders", "encoder"),
    ("engine", "graph"),
    ("fingerprint", "model"),
    ("fingerprint", "files"),
    ("store", "files"),
    ("store", "vectors"),
    ("model", "files"),
    ("model", "vectors"),
    ("files", "vectors"),
    ("training", "medi.batches"),
    ("training", "medi.forms"),
    ("training", "medi.triple"),
}
STANDARD_ONLY = ("instruction", "namesake", "errors", "extras", "version")
# heavy libraries, and the only packages that may import them
HEAVY = {
    "torch": ("model", "engine", "graph", "instructor", "training", "quantization", "evaluation"),
    "transformers": ("training", "evaluation"),
    "sentence_transformers": (),
    "openvino": ("engine",),
    "onnxruntime": ("engine",),
    "onnx": ("engine",),
    "ray": ("bulk",),
    "starlette": ("serving",),
    "datasets": ("evaluation",),
    "mteb": ("evaluation",),
    "pyarrow": (),
    "lancedb": ("integrations",),
    "sklearn": ("integrations",),
    "langchain_core": ("integrations",),
    "llama_index": ("integrations",),
    "haystack": ("haystack_integrations",),
    "chromadb": ("integrations",),
}


def modules():
    """Yield (dotted name, path) of every file of the sources."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield ".".join(path.relative_to(SOURCE).with_suffix("").parts), path


def imports(path):
    """Yield the dotted names that a file imports, those inside functions and under TYPE_CHECKING included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


KNOWN = {name.removesuffix(".__init__"): name for name, _ in modules()}


def module_of(target):
    """Return the module that an imported name is, or is in: the package itself is ``....__init__``."""
    while target and target not in KNOWN:
        target = target.rpartition(".")[0]
    return KNOWN.get(target)


def unit(module):
    """Return the layer table's key of a module: what follows the package's name."""
    package, *inner = module.split(".")
    return inner[0] if package == PACKAGE else package


def own_imports():
    """Yield (module, imported module of ours) over all sources."""
    for name, path in modules():
        for target in imports(path):
            if target.split(".")[0] in (PACKAGE, "InstructorEmbedding"):
                assert module_of(target), f"{name} imports {target}, which is not there"
                yield name, module_of(target)


def test_every_module_has_a_layer():
    assert not [name for name, _ in modules() if unit(name) not in LAYERS]


def test_imports_go_down():
    wrong = []
    for name, target in own_imports():
        here, there = unit(name), unit(target)
        short = target.removeprefix(f"{PACKAGE}.")
        meant = any(here == a and (short == b or short.startswith(f"{b}.")) for a, b in SIDEWAYS)
        if here != there and (LAYERS[there] > LAYERS[here] or (LAYERS[there] == LAYERS[here] > 0 and not meant)):
            wrong.append(f"{name} imports {target}")
    assert not wrong


def circle(edges):
    """Return the modules of one import circle, or None."""
    state, path = {}, []

    def visit(module):
        state[module] = "open"
        path.append(module)
        for target in sorted(edges.get(module, ())):
            if state.get(target) == "open":
                return path[path.index(target) :]
            if target not in state and (loop := visit(target)):
                return loop
        state[module] = "done"
        path.pop()
        return None

    for module in sorted(edges):
        if module not in state and (loop := visit(module)):
            return loop
    return None


def test_there_is_no_circle():
    edges = {}
    for name, target in own_imports():
        if name != target:
            edges.setdefault(name, set()).add(target)
    assert circle(edges) is None


def test_the_bottom_layer_needs_the_standard_library_alone():
    for name, path in modules():
        if unit(name) in STANDARD_ONLY:
            outside = {target.split(".")[0] for target in imports(path)} - {PACKAGE}
            assert outside <= set(sys.stdlib_module_names), name


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_stay_where_they_are_needed(library):
    wrong = [
        f"{name} imports {target}"
        for name, path in modules()
        for target in imports(path)
        if target.split(".")[0] == library and unit(name) not in HEAVY[library]
    ]
    assert not wrong


@pytest.mark.parametrize("folder", ["recipes", "benchmarks", "examples"])
def test_scripts_use_what_exists_and_is_public(folder):
    """Scripts beside the package import modules that exist, and no private name of them."""
    wrong = [
        f"{path.name} imports {target}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for target in imports(path)
        if target.split(".")[0] == PACKAGE
        and (not module_of(target) or any(name.startswith("_") for name in target.split(".")))
    ]
    assert not wrong


def test_the_package_imports_no_script():
    scripts = {path.stem for folder in ("recipes", "benchmarks") for path in (ROOT / folder).rglob("*.py")}
    scripts |= {"recipes", "benchmarks", "tests"}
    wrong = [f"{name} imports {target}" for name, path in modules() for target in imports(path)
             if target.split(".")[0] in scripts - set(sys.stdlib_module_names)]  # fmt: skip
    assert not wrong


def test_the_test_sees_what_is_wrong(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("from instructor_embedding.cli import main\nimport torch.nn\nimport instructor_embedding\n")
    upward, _, top = imports(file)
    assert LAYERS[unit(module_of(upward))] > LAYERS["model"]
    assert unit(module_of(top)) == "__init__"
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) is None
