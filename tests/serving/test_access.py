"""API keys, CORS, logs as JSON, start and stop of the command."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.serving.running import running

BODY = {"inputs": ["a cat"]}


def command(*arguments, **environment):
    code = "from instructor_embedding.cli.main import main; main()"
    clean = {name: value for name, value in os.environ.items() if name != "INSTRUCTOR_API_KEY"} | environment
    return subprocess.run(
        [sys.executable, "-c", code, "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=clean,
        timeout=60,
    )


def test_keys_from_a_file_with_cors_and_json_logs(folders, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# team a\nfirst-key\n\nsecond-key\n")
    keys.chmod(0o600)
    arguments = [f"tiny={folders['relu']}", "--api-key-file", keys, "--cors", "https://example.org", "--log", "json"]
    with (
        running(tmp_path, *arguments, "--default-instruction", "Represent the text: ") as server,
        server.client() as client,
    ):
        for path in ("/health", "/ready", "/", "/openapi.json"):
            assert client.get(path).status_code == 200
        assert "bearer" in json.dumps(client.get("/openapi.json").json()["components"]["securitySchemes"])
        for headers in (
            {},
            {"authorization": "first-key"},
            {"authorization": "Bearer wrong"},
            {"authorization": "Bearer é"},
        ):
            raw = {name: value.encode() for name, value in headers.items()}
            refused = client.post("/v1/embeddings", json={"input": "a"}, headers=raw)
            assert refused.status_code == 401
            assert refused.json()["error"]["type"] == "authentication_error"
        for key in ("first-key", "second-key"):
            reply = client.post(
                "/embed", json=BODY, headers={"authorization": f"Bearer {key}", "origin": "https://example.org"}
            )
            assert reply.status_code == 200
            assert reply.headers["access-control-allow-origin"] == "https://example.org"
            assert reply.headers["x-instruction"] == "default"
        other = client.get("/health", headers={"origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers
        preflight = {"origin": "https://example.org", "access-control-request-method": "POST"}
        assert client.options("/embed", headers=preflight).status_code == 200
        lines = [json.loads(line) for line in server.logged().splitlines() if line.startswith("{")]
        embedded = next(line for line in lines if line["path"] == "/embed")
        assert {"time", "id", "method", "status", "ms", "texts", "tokens", "truncated"} <= embedded.keys()
        arguments = Path(f"/proc/{server.process.pid}/cmdline")  # what a list of processes shows
        assert "first-key" not in server.logged() + (arguments.read_text() if arguments.exists() else "")
        assert server.stop() == 0


def test_without_cors_no_origin_is_allowed(server):
    with server.client() as client:
        reply = client.get("/health", headers={"origin": "https://example.org"})
    assert "access-control-allow-origin" not in reply.headers


def test_wrong_usage_is_explained(folders, tmp_path):
    for arguments, message in (
        (["--server", "gunicorn"], "known: granian, uvicorn"),
        (["--api-key-file", tmp_path / "none"], "cannot read"),
        ([folders["relu"], folders["relu"], "--port", 0], "two models have the same name"),
        ([folders["relu"], "--instructions", __file__], "is not TOML"),
        ([folders["relu"], "--host", "203.0.113.1"], "cannot listen at"),
    ):
        done = command(*arguments)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
