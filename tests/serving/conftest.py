"""Servers that many tests share: one under granian, one under uvicorn, both with two tiny models."""

import pytest

from tests.serving.running import running

pytest.importorskip("starlette", reason="the extra serve is not installed")


@pytest.fixture(scope="session", params=["granian", "uvicorn"])
def server(request, folders, tmp_path_factory):
    home = tmp_path_factory.mktemp("serve")
    table = home / "names.toml"
    table.write_text('[instructions]\ntickets = "Represent the ticket: "\n[instructions.manual]\nquery = "Q: "\n')
    models = [f"tiny={folders['relu']}", f"gated={folders['gated']}"]
    arguments = [*models, "--server", request.param, "--instructions", table, "--max-client-batch-size", 64]
    with running(home, *arguments, "--max-body", 2**20) as server:
        yield server
