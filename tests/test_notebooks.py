"""The notebooks of examples/ run in this process, and their stored outputs are those of the cells."""

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LARGEST = 60_000  # bytes, pictures included


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_notebooks", ROOT / "docs" / "make_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run_and_outputs_are_fresh(path, script):
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert not script.difference(stored, script.run(path))


def test_a_stale_output_is_reported(script):
    stored = json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))
    changed = json.loads(json.dumps(stored).replace("worse", "better").replace("best", "worst"))
    assert not script.difference(stored, stored)
    assert "now:" in script.difference(stored, changed)


def test_notebooks_are_small():
    assert [path.stem for path in NOTEBOOKS] == ["choosing_an_instruction", "getting_started"]
    for path in NOTEBOOKS:
        assert path.stat().st_size < LARGEST
