"""The code of README and docs runs: every Python block and every command, in a folder with a few data files.

The hub of these runs holds a tiny model under the names of the published ones. A block that cannot run here is preceded
by ``<!-- not run: the reason -->``.
"""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.model import folders as layouts
from tests.model.small_hub import running

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^(?P<skip><!-- not run: .+? -->\n+)?```(?P<language>python|sh)\n(?P<code>.*?)^```", re.S | re.M)
MODELS = ("hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl")
WORDS = ("bread", "cake", "soup", "plum", "rye", "train", "bus", "plane", "ship", "rain", "snow", "wind")
FILES = {
    "pairs.csv": "query,positive\n" + "".join(f"what is {word}?,{word} is a thing\n" for word in WORDS),
    "titles.txt": "Parton energy loss in QCD matter\nCopper rises by four percent\nRye bread with walnuts\n",
    "titles.csv": "id,text,year\n1,Parton energy loss in QCD matter,2019\n"
    "2,Copper rises by four percent,2021\n3,Rye bread,2024\n",
}
# pages whose code does not run yet
PENDING: set[str] = set()

pytestmark = pytest.mark.slow


def steps(page):
    """Yield language and code of what runs, in order; Python blocks without a command between them are one step.

    Shell blocks are reduced to the project's own commands.
    """
    python = ""
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["skip"]:
            continue
        code = block["code"]
        if block["language"] == "sh":
            commands = re.findall(r"^(?:instructor-embed|python examples/)(?:.*\\\n)*.*$", code, re.M)
            code = "\n".join(commands)
        if block["language"] == "python":
            python += code
        elif code.strip():
            if python:
                yield "python", python
            python = ""
            yield "sh", code
    if python:
        yield "python", python


@pytest.fixture(scope="module")
def environment(folders, tmp_path_factory):
    home = tmp_path_factory.mktemp("hub")
    for name in MODELS:
        layouts.copied(folders["relu"], home / name)
        layouts.hkunlp(home / name)
    with running(home) as hub:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "cache"), "PATH": path, "PYTHONWARNINGS": "ignore"}
        yield clean | own


@pytest.mark.parametrize("page", [page for page in PAGES if any(steps(page))], ids=lambda page: page.name)
def test_code_runs(page, environment, tmp_path):
    if page.name in PENDING:
        pytest.xfail("not executable yet")
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    before = ""
    for language, code in steps(page):
        if language == "python":
            before += code
            (tmp_path / "page.py").write_text(before, encoding="utf-8")
        command = [sys.executable, "page.py"] if language == "python" else ["bash", "-e", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
        assert done.returncode == 0, f"{textwrap.indent(code, '  ')}\n{done.stderr[-2000:]}"
