"""Worker processes on this machine: each loads the model, and makes the shards that it is given, one after the other.

A worker talks to the job through a pipe of its own. When it dies, its shard is given to another one; when the job
dies, the pipe closes and the worker ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, cast

from instructor_embedding.bulk.job import Job, Task
from instructor_embedding.bulk.shard import Advance, Facts, ShardMaker
from instructor_embedding.errors import InstructorError, WorkerError
from instructor_embedding.loading import load_encoder

_ATTEMPTS = 3  # deaths over one shard that are not taken for accidents
_PATIENCE = 5.0  # seconds a process has to end before it is killed


class ModelSettings(NamedTuple):
    """What `load_encoder` is called with, and the size of batches."""

    model: str
    device: str | None = None
    dtype: str = "float32"
    backend: str = "torch"
    precision: str | None = None
    threads: int | None = None
    batch_size: int = 32

    def load(self) -> Any:
        """Load the model."""
        return load_encoder(self.model, self.device, self.dtype, self.backend, self.precision, self.threads)


class Pool:
    """Worker processes; a context manager that ends them.

    Parameters
    ----------
    job : Job
    folder : str
        Of the output.
    settings : ModelSettings
    size : int
        Processes.
    """

    def __init__(self, job: Job, folder: str, settings: ModelSettings, size: int) -> None:
        self._arguments = (job, folder, settings)
        self._context = multiprocessing.get_context("spawn")
        self._size = size
        self._workers: dict[Connection, BaseProcess] = {}
        self._tasks: dict[Connection, Task] = {}

    def make(self, tasks: Iterable[Task], advance: Advance) -> Iterator[Facts]:
        """Make shards, and yield what each records when it is complete.

        Raises
        ------
        WorkerError
            A process died several times over the same shard.
        InstructorError
            What a worker raised.
        """
        waiting, deaths = deque(tasks), Counter[Task]()
        for _ in range(min(self._size, len(waiting))):
            self._start()
        for pipe in list(self._workers):
            self._give(pipe, waiting)
        while self._tasks:
            for ready in wait(list(self._workers)):
                pipe = cast(Connection, ready)
                try:
                    kind, value = pipe.recv()
                except (EOFError, OSError):
                    self._died(pipe, waiting, deaths)
                    continue
                if kind == "progress":
                    advance(*value)
                elif kind == "failed":
                    raise value
                else:
                    del self._tasks[pipe]
                    yield value
                    self._give(pipe, waiting)

    def _start(self) -> Connection:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, *self._arguments), daemon=True)
        process.start()
        theirs.close()
        self._workers[ours] = process
        return ours

    def _give(self, pipe: Connection, waiting: deque[Task]) -> None:
        if waiting:
            self._tasks[pipe] = waiting.popleft()
            try:
                pipe.send(self._tasks[pipe])
            except OSError:  # it has died; the next wait reports that
                return

    def _died(self, pipe: Connection, waiting: deque[Task], deaths: Counter[Task]) -> None:
        """Give the shard of a dead worker to a new one."""
        self._workers.pop(pipe).join(_PATIENCE)
        pipe.close()
        task = self._tasks.pop(pipe, None)
        if task is None:
            return
        deaths[task] += 1
        if deaths[task] >= _ATTEMPTS:
            job = self._arguments[0]
            raise WorkerError(
                f"a worker process died {_ATTEMPTS} times over rows {task.start + 1} to {task.stop} of "
                f"{job.inputs[task.input].name}; the system may have killed it for memory: fewer --workers, a smaller "
                "--batch-size or --shard-rows need less"
            )
        waiting.appendleft(task)
        self._give(self._start(), waiting)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe, process in self._workers.items():
            pipe.close()
            process.terminate()
        for process in self._workers.values():
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
        self._workers.clear()


def work(pipe: Connection, job: Job, folder: str, settings: ModelSettings) -> None:
    """Make the shards that come through a pipe, until it is closed: what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the job decides
    try:
        _serve(pipe, ShardMaker(job, folder, settings.load(), settings.batch_size))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except InstructorError as error:
        _report(pipe, error)
    except Exception:
        _report(pipe, WorkerError(f"a worker process failed: {traceback.format_exc()}"))


def _report(pipe: Connection, error: InstructorError) -> None:
    with contextlib.suppress(OSError):  # the job has ended
        pipe.send(("failed", error))


def _serve(pipe: Connection, maker: ShardMaker) -> None:
    def advance(rows: int, tokens: int) -> None:
        pipe.send(("progress", (rows, tokens)))

    while True:
        task = pipe.recv()
        pipe.send(("done", maker.make(task, advance)))


def in_process(job: Job, folder: str, model: Any, batch_size: int) -> Callable[[Iterable[Task], Advance], Any]:
    """Return what makes shards in this process, with a loaded model; called as `Pool.make`."""
    maker = ShardMaker(job, folder, model, batch_size)
    return lambda tasks, advance: (maker.make(task, advance) for task in tasks)
