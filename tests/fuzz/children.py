"""Functions in child processes, so that a crash, an endless loop or a hunger for memory ends the child alone."""

import os
import pickle
import resource
import signal
import sys
import traceback
from pathlib import Path

MEMORY = 3 << 30  # bytes of address space that a child may take beside its parent's


def forked(items, function, seconds=20, several=10):
    """Yield (item, outcome): what `function` returned, or a line that says how the child died.

    A child works through `several` items; each has `seconds`.
    """
    items = iter(items)
    while batch := [item for _, item in zip(range(several), items, strict=False)]:
        done = _child(batch, function, seconds)
        yield from zip(batch, done, strict=False)
        if len(done) < len(batch):  # one of them killed the child; the rest is left out
            yield batch[len(done)], f"the process ended: {done.code}"


class _Outcomes(list):
    code = ""


def _child(batch, function, seconds):
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(reading)
        _work(batch, function, seconds, writing)
    os.close(writing)
    outcomes = _Outcomes()
    with os.fdopen(reading, "rb") as pipe:
        while True:
            try:
                outcomes.append(pickle.load(pipe))
            except (EOFError, pickle.UnpicklingError):
                break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    outcomes.code = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return outcomes


def _work(batch, function, seconds, writing):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    for item in batch:
        signal.alarm(seconds)
        try:
            outcome = function(item)
        except BaseException:
            outcome = "".join(traceback.format_exc().splitlines(keepends=True)[-8:])
        signal.alarm(0)
        os.write(writing, pickle.dumps(outcome))
    os._exit(0)
