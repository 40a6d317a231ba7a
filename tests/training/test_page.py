"""The page's small model in minutes: its code and its command, verbatim, end in a better model."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.conftest import ROOT

pytest.importorskip("transformers")

pytestmark = pytest.mark.slow


def test_a_small_model_in_minutes(environment, tmp_path):
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    section = re.search(r"^## A small model in minutes\n(.*?)^## ", page, re.S | re.M)[1]
    data, use = re.findall(r"^```python\n(.*?)^```", section, re.S | re.M)
    (command,) = re.findall(r"^```sh\n(.*?)^```", section, re.S | re.M)
    (output,) = re.findall(r"^```text\n(.*?)^```", section, re.S | re.M)
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

    def run(*line):
        done = subprocess.run(
            line, cwd=tmp_path, env={**environment, "PATH": path}, capture_output=True, text=True, timeout=1800
        )
        assert done.returncode == 0, done.stderr
        return done

    run(sys.executable, "-c", data)
    assert len((tmp_path / "pairs.csv").read_text(encoding="utf-8").splitlines()) == 2001
    script = tmp_path / "instructor-embed"
    script.write_text(f"#!{sys.executable}\nfrom instructor_embedding.cli.main import main\nmain()\n", encoding="utf-8")
    script.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{path}"
    printed = run("bash", "-e", "-c", command).stderr.splitlines()[-2:]
    run(sys.executable, "-c", use)
    pattern = r"held_back_recall_at_1: (\S+) before, (\S+) after (\d+) steps"
    before, after, steps = map(float, re.fullmatch(pattern, printed[0]).groups())
    documented = list(map(float, re.fullmatch(pattern, output.splitlines()[0]).groups()))
    assert after > before + 0.5
    assert [before, after, steps] == pytest.approx(documented, abs=0.05)
    assert printed[1] == output.splitlines()[1]
