"""The verb ``medi``, run inside the test process."""

import pytest


@pytest.fixture
def run(cli):
    def run(*arguments):
        done = cli("medi", *arguments)
        return done.code, done.out, done.err

    return run
