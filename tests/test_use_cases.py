"""The examples of use cases run with the bundled model and give the sensible answer."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow


def run(name, *arguments):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_semantic_search():
    assert len(run("semantic_search", "how small is a model in 8 bits?")) == 3


def test_duplicate_questions():
    assert "password" in run("duplicate_questions")[0]


def test_few_labels():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    lines = run("few_labels")
    assert "sentiment" in lines[0]
    assert lines[1] == "good bad"


def test_topic_and_emotion(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    lines = run("topic_and_emotion", str(tmp_path / "map.html"))
    topics = [line.split()[0] for line in lines]
    assert topics == topics[:1] * 4 + topics[-1:] * 4
    assert topics[0] != topics[-1]
    assert (tmp_path / "map.html").stat().st_size > 1000


def test_scoring_text():
    assert "horse" in run("scoring_text")[-1]


class Chat(BaseHTTPRequestHandler):
    """A chat server that repeats the first note of its prompt."""

    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
        note = next(line for line in prompt.splitlines() if line.startswith("[1]"))
        body = json.dumps({"choices": [{"message": {"content": note}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        """Write nothing."""


def test_rag():
    server = HTTPServer(("127.0.0.1", 0), Chat)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert "240 degrees" in run("rag", "--server", f"http://127.0.0.1:{server.server_port}/v1")[0]
    finally:
        server.shutdown()
