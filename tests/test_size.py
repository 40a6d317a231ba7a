"""Files stay under 400 lines, functions under 50, and no module has an empty name."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = sorted(path for folder in ("src", "tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))
EMPTY_NAMES = {"utils", "util", "helpers", "common", "misc", "base"}


def test_files_are_short():
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {path: lines for path, lines in long.items() if lines >= 400}


def test_functions_are_short():
    long = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and path.is_relative_to(ROOT / "src"):
                lines = node.end_lineno - body_start(node)
                if lines >= 50:
                    long.append(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines")
    assert not long


def body_start(node):
    """Line where a function's code starts, after its docstring."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.end_lineno if documented else node.lineno


def test_names_say_something():
    named = {name for path in FILES for name in path.relative_to(ROOT).with_suffix("").parts}
    assert not named & EMPTY_NAMES
