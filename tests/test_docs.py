"""Docs are tested: commands documented, generated pages fresh, names real, links valid; see also test_docs_code."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import instructor_embedding

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def test_cli_page_is_fresh():
    script = str(ROOT / "docs" / "make_cli_page.py")
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tree_is_fresh():
    done = subprocess.run([sys.executable, ROOT / "docs" / "make_tree.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_option_has_help():
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    bare = [line for line in text.splitlines() if re.fullmatch(r"  (-\w, )?--[\w-]+( <\w+>)?", line)]
    assert not [line for line in bare if "[required]" not in line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_compiles_and_names_exist(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "instructor_embedding":
                for alias in node.names:
                    assert alias.name in instructor_embedding.__all__, f"{page.name}: {alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    known = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for block in blocks(page, "sh"):
        for verb in re.findall(r"^instructor-embed ([a-z]+)", block, re.M):
            assert f"## instructor-embed {verb}" in known, f"{page.name}: {verb}"
        targets = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in re.findall(r"^make ([a-z-]+)", block, re.M):
            assert f"\n{target}:" in targets, f"{page.name}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150


def test_no_two_sentences_share_a_line():
    wrong = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        for line in text.splitlines():
            if not line.startswith(("|", "-", "#")) and re.search(r"[a-z)`]\. [A-Z]", line):
                wrong.append(f"{page.name}: {line}")
    assert not wrong


def test_docs_speak_of_the_project_alone():
    for page in [*PAGES, ROOT / "CHANGELOG.md", ROOT / "LOG.md"]:
        assert not re.search(r"/(home|work|root|tmp)/", page.read_text(encoding="utf-8")), page.name
