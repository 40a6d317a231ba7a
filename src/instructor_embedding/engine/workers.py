"""Several processes, each with a copy of the model on a device of its own; vectors come back in order."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection
from multiprocessing.queues import Queue
from typing import Any, Protocol

import torch

from instructor_embedding.errors import InputError, WorkerError
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32
from instructor_embedding.model.placement import device_of

CHUNK = 1024  # texts sent to a worker at once
_PATIENCE = 5.0  # seconds a process has to end before it is killed


class Encoder(Protocol):
    """What a worker needs of a model: it is pickled and runs elsewhere."""

    def encode(self, sentences: Any, batch_size: int = 32, **options: Any) -> Any:
        """Return the vectors of `sentences`."""
        ...

    def to(self, device: torch.device) -> Any:
        """Move to a device."""
        ...


class Workers:
    """A pool of processes that encode with one model.

    Use it for several GPUs, or for machines with several memory nodes; on one CPU a single process uses all cores by
    itself. As a context manager it stops the processes at the end, also when interrupted.

    Parameters
    ----------
    model : INSTRUCTOR
        Sent to each process once, as it is now.
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

    def __init__(self, model: Encoder, devices: Sequence[str]) -> None:
        if isinstance(devices, str) or not devices:
            raise InputError(f"devices must be a list such as ['cuda:0', 'cuda:1'], got {devices!r}")
        names = [str(device_of(device)) for device in devices]
        threads = max(1, (os.cpu_count() or 1) // len(names))
        context = multiprocessing.get_context("spawn")
        self.places: Queue[str] = context.Queue()
        for name in names:
            self.places.put(name)
        self._size = len(names)
        self._pool = ProcessPoolExecutor(
            self._size, mp_context=context, initializer=_start, initargs=(model, self.places, threads)
        )

    def encode(self, pairs: Iterable[Pair], batch_size: int = 32, chunk: int = CHUNK) -> Iterator[Float32]:
        """Encode pairs in order; yields float32 of shape (up to `chunk`, dim).

        At most two chunks a worker are read ahead.

        Raises
        ------
        WorkerError
            A process died; the message says what may have killed it. What fails inside a worker comes as it is there,
            with the worker's traceback.
        """
        source = iter(pairs)
        waiting: deque[Future[Float32]] = deque()
        try:
            while True:
                while len(waiting) < 2 * self._size and (part := list(islice(source, chunk))):
                    waiting.append(self._pool.submit(_encode, part, batch_size))
                if not waiting:
                    return
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise WorkerError(
                f"one of {self._size} worker processes died before its work was done; the system may have killed it "
                "for memory, or the program's main module starts workers without `if __name__ == '__main__':`"
            ) from None
        finally:
            for future in waiting:
                future.cancel()

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

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


_MODEL: Encoder | None = None  # of this worker process


def _start(model: Encoder, places: Queue[str], threads: int) -> None:
    global _MODEL
    device = torch.device(places.get())
    if device.type == "cpu":
        torch.set_num_threads(threads)
    model.to(device)
    _MODEL = model


def _encode(pairs: list[Pair], batch_size: int) -> Float32:
    assert _MODEL is not None
    vectors: Float32 = _MODEL.encode(pairs, batch_size, truncate="quiet")
    return vectors
