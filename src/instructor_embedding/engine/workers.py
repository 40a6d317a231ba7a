"""Several processes, each with a copy of the model on a device of its own; vectors come back in order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection
from multiprocessing.queues import Queue
from typing import Any, Protocol

import numpy as np
import torch

from instructor_embedding.engine import pipeline
from instructor_embedding.engine.backend import Backend, as_numpy
from instructor_embedding.engine.backends.native import cores
from instructor_embedding.engine.options import Truncate
from instructor_embedding.engine.truncation import Truncation
from instructor_embedding.errors import InputError, WorkerError
from instructor_embedding.instruction import Pair
from instructor_embedding.model.device import device_of
from instructor_embedding.model.packed import Float32, Int32
from instructor_embedding.model.tokens import TextTokenizer

CHUNK = 1024  # texts sent to a worker at once
_PATIENCE = 5.0  # seconds a process has to end before it is killed


Encoded = tuple[Float32, Int32, Int32]  # vectors, and tokens of each text before and after truncation


class Model(Protocol):
    """What a worker needs of a model: it is pickled and runs elsewhere."""

    tokens: TextTokenizer

    @property
    def backend(self) -> Backend:
        """Run batches."""
        ...

    def to(self, device: torch.device) -> Any:
        """Move to a device."""
        ...

    def eval(self) -> Any:
        """Switch to inference."""
        ...


class Workers:
    """A pool of processes that encode with one model.

    Use it for several GPUs, or for machines with several memory nodes; on one CPU a single process uses all cores.
    As a context manager it stops the processes at the end, also when interrupted.

    Parameters
    ----------
    model : INSTRUCTOR
        Sent to each process once, in its present state.
    devices : sequence of str
        One process each; ``["cpu", "cpu"]`` shares the cores between two.

    Raises
    ------
    InputError
        There is no device, or one that this machine lacks.

    Examples
    --------
    >>> with Workers(model, ["cuda:0", "cuda:1"]) as workers:  # doctest: +SKIP
    ...     vectors = np.concatenate(list(workers.encode(pairs)))
    """

    def __init__(self, model: Model, devices: Sequence[str]) -> None:
        if isinstance(devices, str) or not devices:
            raise InputError(f"devices must be a list such as ['cuda:0', 'cuda:1'], got {devices!r}")
        names = [str(device_of(device)) for device in devices]
        threads = max(1, cores() // len(names))
        context = multiprocessing.get_context("spawn")
        self._devices: Queue[str] = context.Queue()
        for name in names:
            self._devices.put(name)
        self._size = len(names)
        self._limit = model.tokens.max_length
        self._pool = ProcessPoolExecutor(
            self._size, mp_context=context, initializer=_start, initargs=(model, self._devices, threads)
        )

    def encode(
        self, pairs: Iterable[Pair], batch_size: int = 32, chunk: int = CHUNK, *, truncate: Truncate = "warn"
    ) -> Iterator[Float32]:
        """Encode pairs in order; yields float32 of shape (up to `chunk`, dim).

        At most two chunks per worker are read ahead. `truncate` is that of ``INSTRUCTOR.encode``; a warning comes
        once, after the last chunk.

        Raises
        ------
        TruncationError
            With ``truncate="error"``, before the chunk that has the long text is yielded.
        WorkerError
            A process died; the message says what may have killed it. What fails inside a worker comes unchanged,
            with the worker's traceback.
        """
        source, budget = iter(pairs), pipeline.budget_of(batch_size)
        policy = Truncation(truncate, self._limit)
        waiting: deque[Future[Encoded]] = deque()
        try:
            while True:
                while len(waiting) < 2 * self._size and (texts := list(islice(source, chunk))):
                    waiting.append(self._pool.submit(_encode, texts, budget))
                if not waiting:
                    break
                vectors, full, kept = waiting.popleft().result()
                policy.check(full, kept)
                yield vectors
        except GeneratorExit:
            policy.warn()
            raise
        except BrokenProcessPool:
            raise WorkerError(
                f"one of {self._size} worker processes died before its work was done; the system may have killed it "
                "for memory, or the program's main module starts workers without `if __name__ == '__main__':`"
            ) from None
        finally:
            for future in waiting:
                future.cancel()
        policy.warn()

    def stop(self) -> None:
        """End the processes."""
        processes = list((self._pool._processes or {}).values())  # shutdown forgets them
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            # Not join: the pool's thread waits too, and a process that it has just reaped still looks alive here.
            if not connection.wait([process.sentinel], _PATIENCE):
                process.kill()
        self._devices.close()
        self._devices.join_thread()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


_MODEL: Model | None = None  # of this worker process


def _start(model: Model, devices: Queue[str], threads: int) -> None:
    global _MODEL
    device = torch.device(devices.get())
    if device.type == "cpu":
        torch.set_num_threads(threads)
    model.to(device)
    _MODEL = model


def _encode(pairs: list[Pair], budget: int) -> Encoded:
    assert _MODEL is not None
    _MODEL.eval()
    windows = list(pipeline.encode(pairs, _MODEL.tokens, _MODEL.backend, budget, "quiet"))
    vectors = np.concatenate([as_numpy(window.vectors) for window in windows])
    full, kept = (np.concatenate([getattr(window, name) for window in windows]) for name in ("full", "kept"))
    return vectors, full, kept
