"""Running the command with a tiny model."""

import pytest


@pytest.fixture
def command(folders, cli):
    """Run the command, with a tiny model unless `model` is false; returns exit code, stdout and stderr."""

    def run(*arguments, stdin="", model=True):
        return cli(*arguments, *(["-m", folders["relu"]] if model else []), stdin=stdin)

    return run
