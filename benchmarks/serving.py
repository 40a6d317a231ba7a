"""This server beside a plain FastAPI server and `encode`, on the same model, texts and machine.

    python benchmarks/serving.py [--seconds 20] [--peer-python PYTHON] [--only ours,fastapi,encode,null]

Load comes from `wrk`: 64 connections, 1 to 8 texts per request, 8 instructions. Server and load are pinned to a core
each. Half load: pauses that halve the rate of full load. `--peer-python` names an interpreter that has fastapi.
The figures are written to results/serving.json.
"""

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from peers import ROOT
from workloads import workload

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "serving.json"
INSTRUCTIONS = [f"Represent the {kind} for {use}: " for kind in ("question", "title") for use in "abcd"]
CONNECTIONS = 64
SERVER_CORE, LOAD_CORE = "0", "1"


def pinned(core, command):
    return ["taskset", "-c", core, *map(str, command)] if shutil.which("taskset") and os.cpu_count() > 1 else command


def requests(count=400):
    """Bodies of 1 to 8 short texts under one of 8 instructions each."""
    draw = random.Random(0)
    texts = [text for _, text in workload("short", 8 * count)]
    return [
        {"inputs": [texts.pop() for _ in range(draw.randint(1, 8))], "instruction": draw.choice(INSTRUCTIONS)}
        for _ in range(count)
    ]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(command, port):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(pinned(SERVER_CORE, command), env=environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2):
                    break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"{command} ended with {process.returncode}") from None
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def wrk(url, bodies, seconds, pause=0.0, connections=CONNECTIONS):
    """Return what wrk measured: requests, seconds, failed, p50 and p99 in milliseconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("\n".join(json.dumps(body) for body in bodies))
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", HERE / "serving.lua"]
        done = subprocess.run(
            pinned(LOAD_CORE, [*command, url, "--", file.name, round(pause * 1000)]), capture_output=True, text=True
        )
    if done.returncode:
        raise SystemExit(done.stderr or done.stdout)
    return json.loads(done.stdout.splitlines()[-1])


def loaded(name, command, port, seconds):
    """Measure a server: a lone client, full load, half load."""
    bodies = requests()
    per_request = sum(len(body["inputs"]) for body in bodies) / len(bodies)
    with serving(command, port) as url:
        url += "/embed"
        wrk(url, bodies, 3)
        lone = wrk(url, bodies, max(3, seconds // 3), connections=1)
        full = wrk(url, bodies, seconds)
        rate = full["requests"] / full["seconds"]
        half = wrk(url, bodies, seconds, pause=max(0.0, CONNECTIONS / (rate / 2) - 2 * lone["p50"] / 1000))
    return {
        "name": name,
        "texts_per_second": rate * per_request,
        "failed": full["failed"],
        "p50_full": full["p50"],
        "share_of_half_load": half["requests"] / half["seconds"] / rate,
        "p50_half": half["p50"],
        "p99_half": half["p99"],
        "p50_lone": lone["p50"],
        "p99_lone": lone["p99"],
    }


ENCODE = """
import json, sys, time
from instructor_embedding import INSTRUCTOR
pairs, seconds = json.load(sys.stdin)
model = INSTRUCTOR(device="cpu")
model.encode(pairs[:64])
start, count = time.perf_counter(), 0
while time.perf_counter() - start < seconds:
    model.encode(pairs)
    count += len(pairs)
print(json.dumps([count / (time.perf_counter() - start), type(model.backend).__name__]))
"""


def encode(seconds):
    """Texts per second of `encode` in one process, on the same core as the servers."""
    pairs = [[body["instruction"], text] for body in requests() for text in body["inputs"]]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = pinned(SERVER_CORE, [sys.executable, "-c", ENCODE])
    done = subprocess.run(
        command, input=json.dumps([pairs, seconds]), capture_output=True, text=True, check=True, env=environment
    )
    rate, backend = json.loads(done.stdout)
    return {"name": "encode", "texts_per_second": rate, "backend": backend}


def null(seconds, server):
    """Requests per second of 8 texts with a backend that computes nothing, as JSON floats and in base64."""
    port = free_port()
    result = {"name": f"null backend, {server}"}
    texts = [f"word{number} " * 4 for number in range(8)]
    with serving([sys.executable, HERE / "serving_peers.py", "null", port, server], port) as url:
        for form in ("float", "base64"):
            bodies = [{"input": texts, "instruction": text, "encoding_format": form} for text in INSTRUCTIONS]
            wrk(f"{url}/v1/embeddings", bodies, 2)
            done = wrk(f"{url}/v1/embeddings", bodies, seconds)
            result[form] = done["requests"] / done["seconds"]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--only", default="encode,ours,fastapi,null")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed; on Debian: apt-get install wrk")
    code = "from instructor_embedding.cli.main import main; main()"
    rows = []
    for name in options.only.split(","):
        port = free_port()
        if name == "encode":
            rows.append(encode(options.seconds))
        elif name == "ours":
            command = [sys.executable, "-c", code, "serve", "--port", port, "--log", "off"]
            rows.append(loaded("instructor-embed serve", command, port, options.seconds))
        elif name == "fastapi":
            command = [options.peer_python, "-P", HERE / "serving_peers.py", "fastapi", port]
            rows.append(loaded("FastAPI + sentence-transformers", command, port, options.seconds))
        else:
            rows += [null(options.seconds, server) for server in ("granian", "uvicorn")]
        print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0], "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
