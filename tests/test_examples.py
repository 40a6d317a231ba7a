"""The use cases of the original README run as written, against a hub that holds a tiny model under the real name,
and with the bundled model.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.model import folders as layouts
from tests.model.small_hub import running

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent / "examples"
SHOWN = {
    "getting_started": r"\[\[.*\]\]",
    "similarity": r"\[\[.*\]\s*\[.*\]\]",
    "retrieval": r"\n  [012] \w+",
    "clustering": r"^\[[01]( [01]){7}\]$",
}


@pytest.fixture(scope="module")
def environment(folders, tmp_path_factory):
    home = tmp_path_factory.mktemp("hub")
    layouts.copied(folders["relu"], home / "hkunlp" / "instructor-large")
    layouts.hkunlp(home / "hkunlp" / "instructor-large")
    with running(home) as hub:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        yield clean | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "cache")}


@pytest.mark.parametrize("name", SHOWN)
def test_use_cases(name, environment):
    code = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert re.search(SHOWN[name], done.stdout.strip(), re.S)


def said(name):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "instructor-mini"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_bundled_model_gives_the_sensible_answer():
    first, second = (list(map(float, row.split())) for row in re.findall(r"\[([^\[\]]+)\]", said("similarity")))
    assert first[0] > first[1] + 0.1
    assert second[1] > second[0] + 0.1
    first_documents = re.findall(r"^  (\d) ", said("retrieval"), re.M)
    assert first_documents == ["0", "1"]
    labels = said("clustering").strip("[]\n ").split()
    assert labels == labels[:1] * 4 + labels[-1:] * 4
    assert labels[0] != labels[-1]


def test_every_example_is_run():
    elsewhere = {"demo", "without_torch", "ray_serve"}  # below, in tests/engine/test_export.py, in tests/serving
    elsewhere |= {"semantic_search", "duplicate_questions", "few_labels", "topic_and_emotion", "rag", "scoring_text"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*SHOWN, *elsewhere}


def test_demo(tmp_path):
    script = str(EXAMPLES / "demo.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ short texts a second", done.stdout)
    assert "instructor-embed serve" in done.stdout.splitlines()[-1]
