"""The deployment files and examples fit the command they start."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

from tests.serving.browser import browser
from tests.serving.running import running
from tests.serving.screenshots import take

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


def options():
    from typer.main import get_command

    from instructor_embedding.cli.app import app

    return {option for parameter in get_command(app).commands["serve"].params for option in parameter.opts}


def test_every_option_in_the_files_exists():
    text = "\n".join(path.read_text() for path in DEPLOY.iterdir())
    unit = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    entry = json.loads(re.search(r"ENTRYPOINT (\[.*\])", text)[1])
    images = [json.loads(line) for line in re.findall(r"(?:command|args): (\[.*\])", text)]
    used = {word for line in (shlex.split(unit), entry, *images) for word in line if word.startswith("--")}
    assert {"--host", "--log", "--api-key-file"} <= used <= options()


def test_the_image_has_what_the_build_reads():
    copied = re.search(r"^COPY (pyproject.toml .*) \./$", (DEPLOY / "Dockerfile").read_text(), re.M)[1].split()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hooks = [hook.get("path", "hatch_build.py") for hook in find_hooks(settings["tool"]["hatch"])]
    assert len(hooks) == 2
    assert {*hooks, *settings["project"]["license-files"], "README.md"} <= set(copied)


def find_hooks(table):
    """Yield the settings of every custom hook below a table of hatch's settings."""
    for name, value in table.items():
        if name == "custom":
            yield value
        elif isinstance(value, dict):
            yield from find_hooks(value)


def test_the_files_parse():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["containerPort"]
    assert "embeddings" in yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def test_the_pictures_of_the_docs_are_made(tmp_path):
    with browser():  # skips here where there is none
        pass
    with running(tmp_path, "--log", "off") as server:
        for picture in take(server.url, tmp_path):
            assert picture.read_bytes().startswith(b"\x89PNG")
            assert (ROOT / "docs" / picture.name).exists()


def test_ray_serve(tmp_path):
    if not importlib.util.find_spec("ray"):
        pytest.skip("ray is not installed")
    port = "18091"
    environment = os.environ | {"PORT": port, "RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
    log = tmp_path / "ray.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, ROOT / "examples" / "ray_serve.py"], env=environment, stdout=output, stderr=output
        )
    try:
        body = json.dumps({"input": ["a cat"], "instruction": "Represent the sentence: "}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/embeddings", body, {"content-type": "application/json"}
        )
        for _ in range(240):
            try:
                with urllib.request.urlopen(request, timeout=30) as reply:
                    assert len(json.load(reply)["data"][0]["embedding"]) == 384
                    return
            except OSError:
                assert process.poll() is None, log.read_text()[-3000:]
                time.sleep(0.5)
        pytest.fail(log.read_text()[-3000:])
    finally:
        process.terminate()
        process.wait(60)
