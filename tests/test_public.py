"""The public surface: what is exported is what is meant, documented and typed."""

import ast
import importlib
import inspect
from pathlib import Path

import instructor_embedding
import InstructorEmbedding

SOURCE = Path(__file__).parent.parent / "src"


def test_exports_are_sorted_and_real():
    for package in (instructor_embedding, InstructorEmbedding):
        names = package.__all__
        assert len(names) == len(set(names))
        for name in names:
            assert getattr(package, name) is not None
    assert set(instructor_embedding._HOME) == set(instructor_embedding.__all__)
    assert set(instructor_embedding.__all__) <= set(dir(instructor_embedding))


def test_public_names_are_documented():
    lost = []
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        for node in tree.body:
            public = isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                lost.append(f"{path.name}: {node.name}")
    assert not lost


def test_encode_has_the_documented_order():
    """README of the original: positional order and defaults."""
    parameters = list(inspect.signature(instructor_embedding.INSTRUCTOR.encode).parameters.values())[1:9]
    assert [(parameter.name, parameter.default) for parameter in parameters] == [
        ("sentences", inspect.Parameter.empty),
        ("batch_size", 32),
        ("show_progress_bar", None),
        ("output_value", "sentence_embedding"),
        ("convert_to_numpy", True),
        ("convert_to_tensor", False),
        ("device", None),
        ("normalize_embeddings", False),
    ]


def test_old_import_path_is_the_same_class():
    dotted = importlib.import_module("InstructorEmbedding.instructor")
    assert InstructorEmbedding.INSTRUCTOR is dotted.INSTRUCTOR is instructor_embedding.INSTRUCTOR


def test_unknown_name_is_an_attribute_error():
    assert not hasattr(instructor_embedding, "Nothing")
