"""Who may import whom: the floors of the house."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
FLOORS = {
    "__main__": 6,
    "cli": 5,
    "serving": 4,
    "bulk": 4,
    "index": 4,
    "integrations": 4,
    "haystack_integrations": 5,
    "InstructorEmbedding": 4,
    "medi": 3,
    "training": 3,
    "evaluation": 3,
    "quantization": 3,
    "analysis": 3,
    "instructor": 2,
    "engine": 2,
    "model": 1,
    "files": 1,
    "vectors": 1,
    "fingerprint": 1,
    "store": 1,
    "graph": 2,
    "encoder": 2,
    "encoders": 2,
    "instruction": 0,
    "namesake": 0,
    "errors": 0,
    "extras": 0,
    "version": 0,
}
# sideways imports that are meant: the class users meet stands on the engine, training reads MEDI
# and every file is written and read by the modules in files
SIDEWAYS = {
    ("instructor", "engine"),
    ("encoders", "instructor"),
    ("training", "medi.batches"),
    ("training", "medi.triple"),
    ("store", "files"),
    ("store", "vectors"),
    ("model", "files"),
}
STANDARD_ONLY = ("instruction", "namesake", "errors", "extras", "version")
# heavy libraries, and the only places that may name them
HEAVY = {
    "torch": ("model", "engine", "instructor", "training", "quantization", "evaluation"),
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
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def imports(path):
    """Names imported by a file, those under TYPE_CHECKING included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module):
    """The room a module belongs to: the part after the package's name."""
    parts = module.split(".")
    if parts[0] != "instructor_embedding":
        return parts[0]
    return parts[1] if len(parts) > 1 else None


def test_every_module_has_a_floor():
    lost = [name for name, _ in modules() if room(name) is not None and room(name) not in FLOORS]
    assert not lost


def test_imports_go_down():
    wrong = []
    for name, path in modules():
        here = room(name)
        if here is None:
            continue
        for target in imports(path):
            if not target.startswith(("instructor_embedding.", "InstructorEmbedding")):
                continue
            there = room(target)
            if there is None or there == here or there not in FLOORS:
                continue
            short = target.removeprefix("instructor_embedding.")
            meant = any(here == a and short.startswith(b) for a, b in SIDEWAYS)
            if FLOORS[there] > FLOORS[here] or (FLOORS[there] == FLOORS[here] > 0 and not meant):
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_ground_floor_needs_the_standard_library_alone():
    import sys

    for name, path in modules():
        if room(name) in STANDARD_ONLY:
            found = {target.split(".")[0] for target in imports(path)} - {"instructor_embedding"}
            assert found <= set(sys.stdlib_module_names), name


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_stay_where_they_are_needed(library):
    wrong = [
        f"{name} imports {target}"
        for name, path in modules()
        for target in imports(path)
        if target.split(".")[0] == library and room(name) not in HEAVY[library]
    ]
    assert not wrong


def test_the_test_sees_an_upward_import(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("from instructor_embedding.cli import main\nimport torch.nn\n")
    assert list(imports(file)) == ["instructor_embedding.cli.main", "torch.nn"]
    assert FLOORS[room("instructor_embedding.cli.main")] > FLOORS["model"]
