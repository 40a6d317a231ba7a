"""Files stay under 400 lines, functions under 50 lines, and no module has an empty name."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "tests", "benchmarks", "examples", "recipes")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
C_FILES = sorted(path for path in (ROOT / "src").rglob("*") if path.suffix in (".c", ".h"))
C_COLUMNS = 120
EMPTY_NAMES = {"utils", "util", "helpers", "common", "misc", "base"}


def test_files_are_short():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (*FILES, *C_FILES)}
    assert not {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines >= 400}


def test_functions_are_short():
    long = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            measured = any(path.is_relative_to(ROOT / folder) for folder in ("src", "recipes"))
            if measured and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - body_start(node)
                if lines >= 50:
                    long.append(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines")
    assert not long


def test_functions_in_c_are_short():
    """A function of C starts with a brace in column 1 or at the end of an unindented line, and ends with one."""
    long = []
    for path in C_FILES:
        start = 0
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.match(r"(\{|[a-zA-Z].*\)\s*\{)\s*$", line):
                start = number
            elif line.startswith("}") and start:
                if number - start >= 50:
                    long.append(f"{path.relative_to(ROOT)}, line {start}: {number - start} lines")
                start = 0
    assert not long


def test_lines_of_c_are_short():
    """Those of Python are checked by ruff."""
    lines = ((path, text) for path in C_FILES for text in path.read_text(encoding="utf-8").splitlines())
    assert not [f"{path.name}: {text}" for path, text in lines if len(text.expandtabs(8)) > C_COLUMNS]


def body_start(node):
    """Line where a function's code starts, after its docstring."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.end_lineno if documented else node.lineno


def test_names_say_something():
    named = {name for path in FILES for name in path.relative_to(ROOT).with_suffix("").parts}
    assert not named & EMPTY_NAMES
