"""Faults at every call that changes files: a full disk, an input/output error, a read-only disk, and kill -9.

Each verb runs once for every call that it makes below its folder, and that call fails, or the process dies halfway
through it. A failed run must end with exit code 1 or 2 and one line, leave no temporary file, and leave what was there
before, or the complete result. A killed run must leave something that loads as the old or the new result or is refused,
and the same command, given again, must give the result.
"""

import ctypes
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import sys
from itertools import zip_longest
from pathlib import Path

import numpy as np

from instructor_embedding import INSTRUCTOR
from instructor_embedding.encoder import Encoder
from instructor_embedding.errors import InstructorError
from instructor_embedding.model.folder.write import write
from tests.golden.make_checkpoints import golden_model

KINDS = {"full disk": (errno.ENOSPC, 1), "error": (errno.EIO, 0), "read-only": (errno.EROFS, 1), "kill": (-1, 0)}
SIDES = ("query", "pos", "neg")
VERBS = {
    "encode jsonl": "encode IN/texts.txt -m IN/model -o OUT/v.jsonl",
    "encode npy": "encode IN/texts.txt -m IN/model -o OUT/v.npy",
    "encode parquet": "encode IN/texts.txt -m IN/model -o OUT/v.parquet",
    "quantize": "quantize -m IN/model -o OUT/small --force",
    "save over another": "quantize -m IN/model -o OUT/kept --force",
    "export": "export onnx -m IN/model -o OUT/graph",
    "medi build": "medi build IN/pairs.jsonl -o OUT/built.jsonl --text-type title --text-type text",
    "train": "train --train_file IN/triples.jsonl --model_name_or_path IN/model --output_dir OUT/trained --max_steps 2 "
    "--save_steps 1 --report_to none",
    "index": "index build IN/texts.txt -o OUT/index --store parquet -m IN/model",
}


def prepare(home):
    """Make the inputs of all verbs."""
    source = home / "in"
    source.mkdir()
    write(golden_model("relu"), source / "model")
    (source / "texts.txt").write_text("".join(f"text number {number}\n" for number in range(40)))
    rows = ({side: [f"Represent the {side}: ", f"{side} {n}"] for side in SIDES} | {"task_id": 0} for n in range(16))
    (source / "triples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = ({"query": f"title {n}", "positive": f"text of title {n}"} for n in range(8))
    (source / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    before = home / "before"
    write(golden_model("gated"), before / "kept")
    for name in ("v.jsonl", "v.npy", "v.parquet", "built.jsonl"):
        (before / name).write_bytes(b"as before")
    return source, before


def child(words, target, errors, number=0, fault=(0, 0)):
    """Run the command in a child with a fault armed; returns exit code (or minus the signal) and calls counted."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if process:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            counted = pipe.read()
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), int(counted or 0)
    signal.alarm(300)
    from instructor_embedding.cli.main import main

    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY)):
        os.dup2(os.open(os.devnull, flags), descriptor)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.argv = ["instructor-embed", *words]
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.changes.restype = ctypes.c_long
    shim.arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int]
    shim.arm(os.fsencode(f"{target}/"), number, *fault)
    code = 99
    try:
        main()
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    count = shim.changes()
    sys.stderr.flush()
    os.write(writing, str(count).encode())
    os._exit(code)


def run(home, seed, until):
    """Inject faults until a time; returns counts by verb and kind, and the failures."""
    source, before = prepare(home)
    chance, counts, failures = random.Random(seed), {}, []
    calls, results = {}, {}
    chosen = os.environ.get("FAULT_VERBS", ",".join(VERBS)).split(",")
    for verb in chosen:
        code, calls[verb] = Trial(home, source, before, verb).run()
        if code or not calls[verb]:
            return counts, [
                f"{verb} ends with {code} after {calls[verb]} calls: {(home / 'errors').read_text()[-600:]}"
            ]
        results[verb] = digest(home / "out")
        print(f"{verb}: {calls[verb]} calls that change files", flush=True)
    plans = [[(verb, kind, n) for n in range(1, calls[verb] + 1) for kind in KINDS] for verb in chosen]
    for of_verb in plans:
        chance.shuffle(of_verb)
    plan = [step for steps in zip_longest(*plans) for step in steps if step]  # each verb in turn
    for (verb, kind, number), _ in zip(plan, until, strict=False):
        trial = Trial(home, source, before, verb)
        problem = trial.check(kind, number, results[verb])
        counts[kind] = counts.get(kind, 0) + 1
        if problem:
            failures.append(f"{verb}, {kind} at call {number} of {calls[verb]}: {problem}")
            print(failures[-1], flush=True)
    counts[f"of {len(plan)} in all"] = sum(counts.values())
    return counts, failures


class Trial:
    """One verb on a fresh folder."""

    def __init__(self, home, source, before, verb):
        self.target, self.errors, self.verb, self.before = home / "out", home / "errors", verb, before
        shutil.rmtree(self.target, ignore_errors=True)
        shutil.copytree(before, self.target)
        line = VERBS[verb].replace("IN/", f"{source}/").replace("OUT/", f"{self.target}/")
        self.words = line.split()

    def run(self, number=0, fault=(0, 0)):
        return child(self.words, self.target, self.errors, number, fault)

    def check(self, kind, number, expected):
        """Run with a fault; returns what is wrong, or nothing."""
        code, _ = self.run(number, KINDS[kind])
        if kind == "kill":
            return self.after_kill(code, expected)
        text = self.errors.read_text()
        if "Traceback" in text or code not in (0, 1, 2):
            return f"exit code {code}: {text[-700:]}"
        if code and not text.splitlines()[-1:][0].startswith("instructor-embed: "):
            return f"no line says why: {text[-300:]}"
        left = [name for name in digest(self.target) if name.endswith((".tmp", ".part")) or ".saving-" in name]
        if left:
            return f"left {left}"
        return self.wrong(expected) if code else self.different(expected)

    def after_kill(self, code, expected):
        if code != -signal.SIGKILL:
            return "" if code == 0 else f"exit code {code} without a kill"
        if problem := self.wrong(expected):
            return problem
        code, _ = self.run()
        if code:
            return f"the same command ends with {code}: {self.errors.read_text()[-700:]}"
        return self.different(expected)

    def wrong(self, expected):
        """Return what is neither as before nor the complete result: files by their bytes, folders by their vectors."""
        now, old = digest(self.target), digest(self.before)
        for name in ("v.jsonl", "v.npy", "v.parquet", "built.jsonl"):
            if now.get(name) not in (old.get(name), expected.get(name)):
                return f"{name} is neither the old nor the new file"
        for folder in ("small", "kept", "trained", *(path.name for path in (self.target / "trained").glob("check*"))):
            path = self.target / folder if (self.target / folder).is_dir() else self.target / "trained" / folder
            if path.is_dir() and (path / "modules.json").is_file():
                try:
                    vectors = Encoder(path).encode(["rye bread"])
                except InstructorError:
                    continue
                if not np.isfinite(vectors).all():
                    return f"{folder} loads and is wrong"
                if folder == "kept" and not any(np.allclose(vectors, good, atol=2e-2) for good in self.good()):
                    return "a mixture of the old and the new model loads"
        return ""

    def good(self):
        for path in (self.before / "kept", Path(self.words[2])):
            yield INSTRUCTOR(path, device="cpu").encode(["rye bread"])

    def different(self, expected):
        """Return what a successful run left that is not the result."""
        now = digest(self.target)
        # a kill between the naming of a file and its rename leaves a draft; an index has a cache of its vectors
        ignored = (".tmp", ".embedding.1.npy", ".pt", ".pth", "history.jsonl", "trainer_state.json", "README.md")
        ignored += ("manifest.json", ".parquet")
        wrong = [n for n in now.keys() | expected.keys() if now.get(n) != expected.get(n) and not n.endswith(ignored)]
        return f"the result differs: {sorted(wrong)[:5]}" if wrong else ""


def digest(folder):
    """Return a digest of each file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
