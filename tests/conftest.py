"""What many tests share: tiny models, in the layout of the original."""

import io
import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from instructor_embedding import Pair
from instructor_embedding.cli.main import main
from tests.golden import KINDS

GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(__file__).parent.parent.parent / "shared"


# A shell starts background jobs with SIGINT ignored, and their children would inherit that: the tests send SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--require-libraries", action="store_true", help="fail where an optional library is missing")
    parser.addoption("--folders", type=Path, help="golden checkpoints made by tests.without_torch; torch is not used")


@pytest.fixture(scope="session")
def folders(tmp_path_factory, request):
    """Folder of each golden checkpoint, by kind."""
    if prepared := request.config.getoption("--folders"):
        return {kind: prepared / kind for kind in KINDS}
    from instructor_embedding.model.folder.write import write
    from tests.golden.make_checkpoints import golden_model

    home = tmp_path_factory.mktemp("checkpoints")
    for kind in KINDS:
        write(golden_model(kind), home / kind, "legacy-1.0")
    return {kind: home / kind for kind in KINDS}


@pytest.fixture(scope="session")
def models(folders):
    """Golden models, by kind; tests must not change them."""
    from instructor_embedding import INSTRUCTOR

    return {kind: INSTRUCTOR(folder, device="cpu") for kind, folder in folders.items()}


@pytest.fixture
def model(folders):
    """A model that the test may change."""
    from instructor_embedding import INSTRUCTOR

    return INSTRUCTOR(folders["relu"], device="cpu")


@pytest.fixture(scope="session")
def golden():
    """Vectors and ids that the original computed, by ``kind/name``."""
    with np.load(GOLDEN / "golden.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def inputs():
    """The pairs and texts that the golden vectors belong to."""
    content = json.loads((GOLDEN / "inputs.json").read_text(encoding="utf-8"))
    return {"pairs": [Pair(*pair) for pair in content["pairs"]], "texts": content["texts"]}


@pytest.fixture(scope="session")
def reference():
    """The reference folder beside the project, where there is one."""
    folder = SHARED / "reference"
    if not folder.is_dir():
        pytest.skip("the reference folder is not here")
    return folder


@pytest.fixture
def cli(monkeypatch, capfd):
    """Run `instructor-embed` inside the test process; returns exit code, stdout and stderr."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "argv", ["instructor-embed", *map(str, arguments)])
        content = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capfd.readouterr()
        return SimpleNamespace(code=stop.value.code or 0, out=captured.out, err=captured.err)

    return run
