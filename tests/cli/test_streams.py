"""The command and the process around it: signals, pipes, closed and full standard streams."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "instructor_embedding"]


def shell(line, folder):
    """Run a line of bash in which $E is the command."""
    environment = os.environ | {"E": " ".join(COMMAND), "M": str(folder)}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("$E info -m $M > /dev/full", 1, "cannot use standard output: No space left on device"),
        ("$E --version >&-", 1, "cannot use standard output: Bad file descriptor"),
        ("echo rye | $E encode -m $M > /dev/full", 1, "No space left on device"),
        ("echo rye | $E encode -m $M >&-", 1, "Bad file descriptor"),
        ("$E encode -m $M <&-", 2, "Bad file descriptor"),
        ("$E similarity -m $M <&-", 2, "Bad file descriptor"),
        ("$E similarity $'\\xff' b -m $M", 2, "text 1 is not valid UTF-8"),
        ("printf 'r\\xe9\\nb\\n' | $E similarity -m $M", 2, "stdin, line 1 is not UTF-8 text"),
    ],
)
def test_streams_that_fail(line, code, message, folders):
    done = shell(line, folders["relu"])
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("instructor-embed: ")


def test_streams_that_work(folders):
    assert shell("$E info -m $M | head -1; exit ${PIPESTATUS[0]}", folders["relu"]).returncode in (0, 1)
    assert shell("$E info -m $M 2>&-", folders["relu"]).returncode == 0
    assert "1 texts" in shell("cat <(echo rye) | $E encode /dev/stdin -m $M", folders["relu"]).stderr
    assert "1 texts" in shell("$E encode <(echo rye) -m $M", folders["relu"]).stderr
    done = shell("for n in $(seq 3000); do echo rye $n; done | $E encode -m $M | head -1", folders["relu"])
    assert done.stderr == ""  # the reader left: there is nothing to report
    assert "progress" not in done.stderr


def opens(process, folder):
    """Return whether a process has a file in a folder open, or one is there."""
    links = Path(f"/proc/{process.pid}/fd").glob("*")
    names = []
    for link in links:
        with contextlib.suppress(OSError):  # closed in between
            names.append(os.readlink(link))
    return any(name.startswith(f"{folder}/") for name in names) or any(folder.iterdir())


@pytest.mark.parametrize(
    ("number", "code", "message"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated"), ("SIGHUP", 129, "")]
)
@pytest.mark.parametrize("extension", ["jsonl", "npy", "parquet"])
def test_a_signal_leaves_nothing(number, code, message, extension, folders, tmp_path):
    target = tmp_path / f"out.{extension}"
    command = [*COMMAND, "encode", "-m", str(folders["relu"]), "-o", str(target)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not opens(process, tmp_path) and time.monotonic() < deadline:
        try:
            process.stdin.write("rye bread\n" * 100)
            process.stdin.flush()
        except BrokenPipeError:
            break
        time.sleep(0.02)
    process.send_signal(getattr(signal, number))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert errors.startswith(f"instructor-embed: {message}")
    assert len(errors.splitlines()) == 1, errors
    assert not list(tmp_path.iterdir())


def test_progress_is_for_terminals(folders):
    done = shell(
        "for n in $(seq 3000); do echo rye $n; done | $E encode -m $M -o /dev/null --output-format jsonl",
        folders["relu"],
    )
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("3000 texts, ")
