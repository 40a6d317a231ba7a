"""A real server on loopback, started as a user starts it."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

START = 120  # seconds a server may take to be ready, on a busy machine


@dataclass
class Server:
    url: str
    process: subprocess.Popen
    log: str

    @property
    def port(self):
        return int(self.url.rpartition(":")[2])

    def client(self, **options):
        return httpx.Client(base_url=self.url, timeout=60, **options)

    def post(self, path, **body):
        with self.client() as client:
            return client.post(path, json=body)

    def stop(self, seconds=60):
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def logged(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read()


@contextmanager
def running(tmp_path, *arguments, **environment):
    """Run `instructor-embed serve` on a free port; it is killed at the end, where it still runs."""
    code = "from instructor_embedding.cli.main import main; main()"
    clean = {name: value for name, value in os.environ.items() if name != "INSTRUCTOR_API_KEY"}
    log = tmp_path / f"server-{time.monotonic_ns()}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", code, "serve", *map(str, arguments), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=clean | {"OMP_NUM_THREADS": "1"} | environment,
            text=True,
        )
    try:
        ready = select.select([process.stdout], [], [], START)[0]
        line = process.stdout.readline() if ready else ""
        address = re.search(r"http://\S+", line)
        assert address, f"the server did not start: {log.read_text()}"
        yield Server(address[0], process, str(log))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
