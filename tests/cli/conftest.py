"""Running the command inside the test process."""

import io
import sys
from types import SimpleNamespace

import pytest

from instructor_embedding.cli.main import main


@pytest.fixture
def command(folders, monkeypatch, capfd):
    """Run the command with a tiny model; returns exit code, stdout and stderr."""

    def run(*arguments, stdin="", model=True):
        options = ["-m", str(folders["relu"])] if model else []
        monkeypatch.setattr(sys, "argv", ["instructor-embed", *map(str, arguments), *options])
        content = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        captured = capfd.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run
