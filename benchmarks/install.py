"""What an installation weighs and how long its first vector takes, beside peers: ``python benchmarks/install.py``.

    python benchmarks/install.py [--rounds 10] [--only NAME ...] [--write]

Each library gets an environment of its own under ``.bench/``, made by pip; this package is built as a wheel and
installed without torch. Printed for each: what site-packages grew by (files of all installed distributions, pip left
aside), the time of its import in a fresh process and its peak memory; for this package also the time from the start
of ``instructor-embed encode`` to its exit with one vector, and whether torch was imported. No weights are downloaded.
sentence-transformers is installed with torch's build for CPUs; the usual build with CUDA is several times as large.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from peers import BENCH, ROOT
from speed import machine

RESULTS = ROOT / "benchmarks" / "results" / "install.json"
PAGE = ROOT / "docs" / "speed.md"
START, END = "<!-- install: benchmarks/install.py writes this -->", "<!-- /install -->"
ENCODE = "encode one text, process start to exit, s"
PEERS: dict[str, tuple[list[list[str]], str]] = {  # steps of pip, the import that a user writes
    "instructor-embed": ([["WHEEL"]], "from instructor_embedding import Encoder"),
    "fastembed": ([["fastembed"]], "from fastembed import TextEmbedding"),
    "model2vec": ([["model2vec"]], "from model2vec import StaticModel"),
    "sentence-transformers": (
        [["torch==2.13.0"], ["sentence-transformers==6.2.0"]],
        "from sentence_transformers import SentenceTransformer",
    ),
}
SIZES = """
import importlib.metadata, json
sizes = {}
for dist in importlib.metadata.distributions():
    paths = [dist.locate_file(file) for file in dist.files or ()]
    sizes[dist.metadata["Name"]] = sum(path.stat().st_size for path in paths if path.is_file())
print(json.dumps(sizes))
"""
IMPORT = "import time\nstart = time.perf_counter()\n{0}\nprint(time.perf_counter() - start)"


def wheel() -> Path:
    """Build the package's wheel."""
    folder = BENCH / "wheel"
    for old in folder.glob("*.whl"):
        old.unlink()
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


def environment(name: str) -> Path:
    """Return the Python of a library's environment, made on first use; this package is installed again each time."""
    folder = BENCH / f"install-{name}"
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if not (folder / "ready").exists():
        print(f"making the environment of {name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        for step in PEERS[name][0]:
            arguments = [str(wheel()) if argument == "WHEEL" else argument for argument in step]
            subprocess.run([*pip, *arguments], check=True)
        (folder / "ready").touch()
    elif name == "instructor-embed":
        subprocess.run([*pip, "--force-reinstall", "--no-deps", wheel()], check=True)
    return python


def megabytes(python: Path) -> dict[str, float]:
    """Return the size of each installed distribution in 10^6 bytes, the largest first."""
    done = subprocess.run([python, "-c", SIZES], capture_output=True, text=True, check=True)
    sizes = {name: size for name, size in json.loads(done.stdout).items() if name not in ("pip", "setuptools")}
    return {name: round(size / 1e6, 2) for name, size in sorted(sizes.items(), key=lambda item: -item[1])}


def timed(command: Sequence[Any], stdin: str = "") -> tuple[float, float, str]:
    """Return the seconds of a process from start to exit, its peak memory in MiB, and what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    start = time.perf_counter()
    child = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=environment, cwd=BENCH,
    )  # fmt: skip
    child.stdin.write(stdin)
    child.stdin.close()
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"exit code {child.returncode}: {' '.join(map(str, command))}")
    return time.perf_counter() - start, memory_of(usage), output


def memory_of(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def imported(python: Path, statement: str, rounds: int) -> dict[str, float]:
    """Return medians of an import in fresh processes."""
    runs = [timed([python, "-c", IMPORT.format(statement)]) for _ in range(rounds + 1)][1:]
    return {
        "import, s": round(median(float(output) for _, _, output in runs), 3),
        "memory after import, MiB": round(median(memory for _, memory, _ in runs), 1),
    }


def encoded(python: Path, rounds: int) -> dict[str, Any]:
    """Return medians of the command from its start to a vector, and what of torch its import time lists."""
    command = [python.with_name("instructor-embed"), "encode", "-i", "Represent the sentence: "]
    runs = [timed(command, "A text.\n") for _ in range(rounds + 1)][1:]
    assert len(json.loads(runs[0][2])["embedding"]) == 384
    code = "import sys; sys.argv[1:] = sys.argv[1:]; from instructor_embedding.cli.main import main; main()"
    done = subprocess.run(
        [python, "-X", "importtime", "-c", code, *command[1:]], input="A text.\n", capture_output=True, text=True,
        check=True, cwd=BENCH, env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    modules = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    bare = median(timed([python, "-c", "import instructor_embedding"])[0] for _ in range(rounds))
    inside = imported(python, "import instructor_embedding", rounds)["import, s"]
    return {
        ENCODE: round(median(seconds for seconds, _, _ in runs), 3),
        "peak memory of encode, MiB": round(median(memory for _, memory, _ in runs), 1),
        "modules imported by encode": len(modules),
        "of torch": sum(name.partition(".")[0] == "torch" for name in modules),
        "import instructor_embedding, s": inside,
        "process that imports it, s": round(bare, 3),
    }


def write_table(facts: dict[str, Any]) -> None:
    """Write the table of docs/speed.md."""
    computer = facts["machine"]
    lines = [
        f"{computer['cores']} cores of an {computer['cpu']}, {computer['date']}; medians of fresh processes.", "",
        "| library | installs, MB | import of its class, s | memory then, MiB | `encode` of one text, s |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, row in facts["libraries"].items():
        if "size, MB" in row:
            own = f"{row[ENCODE]:.2f}, at most {row['peak memory of encode, MiB']:.0f} MiB" if ENCODE in row else ""
            lines.append(
                f"| {name} | {row['size, MB']:.0f} | {row['import, s']:.2f} | {row['memory after import, MiB']:.0f} "
                f"| {own} |"
            )
    mine = facts["libraries"]["instructor-embed"]["distributions"]
    largest = ", ".join(f"{name} {size:.0f}" for name, size in list(mine.items())[:6])
    lines += ["", f"The largest distributions of this package's install, in MB: {largest}."]
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    text = "\n".join(lines)
    PAGE.write_text(f"{before}{START}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--write", action="store_true", help="results/install.json, and the table in docs/speed.md")
    options = parser.parse_args()
    BENCH.mkdir(exist_ok=True)
    results: dict[str, Any] = {}
    for name in options.only:
        try:
            python = environment(name)
        except subprocess.CalledProcessError as error:
            results[name] = {"not installed": str(error)}
            continue
        sizes = megabytes(python)
        results[name] = {"size, MB": round(sum(sizes.values()), 1), "distributions": sizes}
        results[name] |= imported(python, PEERS[name][1], options.rounds)
        if name == "instructor-embed":
            results[name] |= encoded(python, options.rounds)
        print(json.dumps({"library": name} | results[name]), flush=True)
    if options.write:
        facts = {"machine": machine(), "libraries": results}
        RESULTS.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        write_table(facts)


if __name__ == "__main__":
    main()
