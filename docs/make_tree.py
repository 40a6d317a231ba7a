"""Writes the file tree into docs/architecture.md from the first line of each module's docstring; `--check` compares."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
SOURCE = ROOT / "src" / "instructor_embedding"
START, END = "<!-- tree: docs/make_tree.py writes this -->", "<!-- /tree -->"
SKIPPED = {"__pycache__", "bundled"}


def caption(path: Path) -> str:
    """Return what a module's docstring, or the first comment of a C file, says in its first sentence."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    else:
        comment = re.match(r"\s*/\*\s*(.*?)\*/", text, re.S)
        text = comment[1] if comment else ""
    sentence = re.split(r"(?<=[.:])\s+(?=[A-Z])|\n\s*\n", " ".join(text.split("\n\n")[0].split()))[0]
    return sentence.replace("``", "").rstrip(".:")


def rows(folder: Path, depth: int) -> list[str]:
    """Return the lines of a folder: packages with their caption, then modules with theirs."""
    lines = []
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if path.name in SKIPPED or path.name.startswith("."):
            continue
        if (path.is_dir() and any(path.rglob("*.py"))) or path.name == "native":
            init = path / "__init__.py"
            lines.append(
                f"{'  ' * depth}{path.name + '/':{40 - 2 * depth}}{caption(init) if init.exists() else ''}".rstrip()
            )
            lines += rows(path, depth + 1)
        elif path.suffix in (".py", ".c", ".h") and path.name != "__init__.py":
            lines.append(f"{'  ' * depth}{path.name:{40 - 2 * depth}}{caption(path)}".rstrip())
    return lines


def page() -> str:
    """Return the page with the present tree."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    tree = "\n".join(["src/instructor_embedding/", *rows(SOURCE, 1)])
    return f"{before}{START}\n\n```text\n{tree}\n```\n\n{END}{after}"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page() else "docs/architecture.md is stale; run: make pages")
    PAGE.write_text(page(), encoding="utf-8")
