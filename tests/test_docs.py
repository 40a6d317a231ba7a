"""Docs are tested: commands documented, generated pages fresh, names real, links valid; see also test_docs_code."""

import ast
import itertools
import re
import shlex
import subprocess
import sys
import tomllib
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


def commands(block):
    """Return the commands of a shell block, one per line, without comments."""
    return [line for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines() if line and not line.startswith("#")]


def parsed(line):
    """Let the command line's own parser read a command; arguments are not opened."""
    from typer.main import get_command

    from instructor_embedding.cli.app import app

    words = shlex.split(line, comments=True)[1:]
    words = list(itertools.takewhile(lambda word: word not in ("|", "<", ">", "&&"), words))
    command = get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    # not resilient: only then are unknown options errors
    command.make_context(command.name, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_exist_in_blocks_that_do_not_run_too(page):
    for block in blocks(page, "sh"):
        for line in commands(block):
            if line.startswith("instructor-embed ") and "--help" not in line:
                try:
                    parsed(line)
                except Exception as error:  # typer has click's classes in a module of its own
                    kind = type(error).__name__
                    assert kind == "BadParameter" and "exist" in str(error), f"{page.name}: {line}\n{kind}: {error}"  # noqa: PT017, PT018


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_runs_or_says_why_not(page):
    """test_docs_code runs the project's commands; pip's and make's change the environment."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    text = re.sub(r"^<!-- not run: .+? -->\n+```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M):
        for line in commands(block):
            known = ("instructor-embed ", "python examples/", "pip ", "make ", "pre-commit ")
            assert line.startswith(known), f"{page.name}: {line}"
            for names in re.findall(r"(?:instructor-embed|\.)\[([\w,-]+)\]", line):
                assert not set(names.split(",")) - set(extras), f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_benchmarks_that_pages_name_exist(page):
    for name in re.findall(r"`(?:python )?(benchmarks/[\w./]+)", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_page_begins_with_what_one_can_do_after_it(page):
    if page.name not in ("cli.md", "evaluation_report.md"):  # both are generated
        assert re.match(r"# .+\n\nAfter this page ", page.read_text(encoding="utf-8"))


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
