"""Dynamic batching: the texts of many requests share batches, fairly, in a queue that is bounded in tokens.

Two threads work ahead of each other. One takes slices of requests in fair order and tokenizes them; the other joins
what is tokenized into one packed batch and runs the backend. They use the two stages of the pipeline of `encode`.

The order is start-time fair queueing: each request is a flow of slices, a slice's tag is the virtual time at which it
would be served if all flows were served at equal speed. A request with one short text is therefore ahead of all but the
next batch of a request with two thousand, and a long text waits at most as long as its own length. What fits in one
batch is tagged as a unit, as requests that take turns all end late.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from instructor_embedding.errors import TruncationError
from instructor_embedding.model.packed import Packed
from instructor_embedding.serving.job import SHARE, DrainingError, Job, OverloadedError, Slice, sliced, tags
from instructor_embedding.serving.lane import Input, Lane
from instructor_embedding.serving.metrics import Metrics


class Queue:
    """Takes requests, forms batches, runs them, answers.

    Use one for all models of a process, as they share its cores. `submit` and `cancel` are called in the event loop.

    Parameters
    ----------
    max_tokens : int
        Bound on the tokens of all requests that are in the queue.
    max_wait : float
        Seconds that a request may wait until its first text is computed. A request that would wait longer is refused.
    metrics : Metrics
    """

    def __init__(self, max_tokens: int, max_wait: float, metrics: Metrics) -> None:
        self.max_tokens = max_tokens
        self.max_wait = max_wait
        self.metrics = metrics
        self.backlog = 0  # tokens in the queue, those of the running batch included
        self.rate = 0.0  # tokens per second, smoothed; 0: not measured yet
        self.draining = False
        self._jobs: set[Job] = set()
        self._heaps: dict[Lane, list[tuple[float, int, Slice]]] = {}
        self._virtual = 0.0
        self._numbers = itertools.count()
        self._ready: list[Slice] = []
        self._ready_tokens = 0
        self._lock = threading.RLock()
        self._slices_wait = threading.Condition(self._lock)  # the thread that tokenizes waits for it
        self._batch_waits = threading.Condition(self._lock)  # the thread that computes waits for it
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the two threads; call it inside the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        for work, name in ((self._tokenize_ahead, "tokenize"), (self._run_batches, "run")):
            thread = threading.Thread(target=work, name=f"serve-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def submit(self, lane: Lane, inputs: Sequence[Input], truncate: bool = True) -> Job:
        """Put the texts of a request into the queue and return the job, whose `result` is to be awaited.

        Raises
        ------
        OverloadedError
            The bound on tokens or on waiting would be exceeded.
        DrainingError
            The server stops.
        """
        if self.draining or self._loop is None:
            raise DrainingError("the server is stopping; send the request to another one")
        costs = [lane.estimate(item) for item in inputs]
        tokens = sum(costs)
        self._admit(tokens)
        job = Job(lane, inputs, truncate, self._loop.create_future(), tokens, time.perf_counter() + self.max_wait)
        with self._lock:
            self._jobs.add(job)
            self.backlog += tokens
            heap = self._heaps.setdefault(lane, [])
            slices = sliced(job, costs, lane.budget)
            for tag, slice_ in zip(tags(slices, self._virtual, lane.budget), slices, strict=True):
                heapq.heappush(heap, (tag, next(self._numbers), slice_))
            self._slices_wait.notify()
            self._gauge()
        return job

    def cancel(self, job: Job) -> None:
        """Drop what is not computed yet of a job whose client is gone."""
        with self._lock:
            if not job.over:
                self.metrics.dropped.inc()
                self._leave(job)

    def wait_seconds(self) -> float:
        """Estimate how long a request would wait until its first batch is computed."""
        if not self.rate:
            return 0.0
        if self.backlog <= self.rate * self.max_wait:
            return self.backlog / self.rate
        # a large request delays others by one batch at a time, so that it does not count in full
        with self._lock:
            ahead = sum(min(job.remaining, job.lane.budget) for job in self._jobs)
        return ahead / self.rate

    async def drain(self) -> None:
        """Take no new work and return when all accepted work is answered."""
        self.draining = True
        while self._jobs:
            await asyncio.wait([job.result for job in list(self._jobs)])
            await asyncio.sleep(0)

    def stop(self) -> None:
        """End the threads; work that is still queued is not computed."""
        with self._lock:
            self._stopped = True
            self._slices_wait.notify()
            self._batch_waits.notify()
        for thread in self._threads:
            thread.join(timeout=10)

    def _admit(self, tokens: int) -> None:
        if self.backlog and self.backlog + tokens > self.max_tokens:
            self.metrics.refused.inc()
            wait = (self.backlog + tokens - self.max_tokens) / (self.rate or self.max_tokens)
            raise OverloadedError(min(wait, 60), f"{self.backlog} tokens are queued, at most {self.max_tokens} may be")
        self.refuse_if_full()

    def refuse_if_full(self) -> None:
        """Refuse a request at once that would wait too long; what it holds does not matter, so ask before decoding it.

        Raises
        ------
        OverloadedError
            It would.
        """
        wait = self.wait_seconds()
        if wait > self.max_wait:
            self.metrics.refused.inc()
            reason = f"the request would wait {wait:.1f} s, at most {self.max_wait:g} s are allowed"
            raise OverloadedError(min(wait - self.max_wait / 2, 60), reason)

    # -- the thread that tokenizes

    def _tokenize_ahead(self) -> None:
        while True:
            with self._lock:
                self._slices_wait.wait_for(lambda: self._stopped or self._next_lane() is not None)
                if self._stopped:
                    return
                slice_ = self._pop()
            if slice_ is None:
                continue
            try:
                self._tokenize(slice_)
            except Exception as error:
                self._fail(slice_.job, error)
                continue
            with self._lock:
                if not slice_.job.over:
                    self._ready.append(slice_)
                    self._ready_tokens += slice_.tokens
                    self._batch_waits.notify()

    def _next_lane(self) -> Lane | None:
        """Return the lane whose next slice is first in fair order, or None where enough is tokenized already."""
        lanes = [(heap[0][0], number, lane) for number, (lane, heap) in enumerate(self._heaps.items()) if heap]
        if not lanes:
            return None
        lane = min(lanes)[2]
        if self._ready and (self._ready[0].job.lane is not lane or self._ready_tokens >= lane.budget):
            return None
        return lane

    def _pop(self) -> Slice | None:
        """Take the next slice; one of a job that is over, or waited too long, is dropped."""
        lane = self._next_lane()
        if lane is None:
            return None
        tag, _, slice_ = heapq.heappop(self._heaps[lane])
        job = slice_.job
        self._virtual = max(self._virtual, tag - slice_.tokens)
        if job.over:
            return None
        now = time.perf_counter()
        if not job.started and now > job.deadline:
            self.metrics.expired.inc()
            self._resolve(
                job, OverloadedError(self.max_wait / 2, f"the request waited {self.max_wait:g} s in the queue")
            )
            return None
        if not job.started:
            job.started = True
            job.queue_seconds = now - job.submitted
        return slice_

    def _tokenize(self, slice_: Slice) -> None:
        job, lane = slice_.job, slice_.job.lane
        start = time.perf_counter()
        packed, index, full, lengths = lane.tokenized(job.inputs[slice_.first : slice_.last])
        job.full[slice_.first : slice_.last] = full
        job.lengths[slice_.first : slice_.last] = lengths
        slice_.packed, slice_.index = packed, index
        job.tokenize_seconds += time.perf_counter() - start
        over = np.flatnonzero(full > lengths)
        if len(over) and not job.truncate:
            position = slice_.first + int(over[0])
            raise TruncationError(
                f"input[{position}] has {int(full[over[0]])} tokens or more with its instruction, but the model reads "
                f"{lane.tokens.max_length}; split the text, or send truncation=true to truncate it"
            )

    # -- the thread that computes

    def _run_batches(self) -> None:
        while True:
            with self._lock:
                self._batch_waits.wait_for(lambda: self._stopped or self._ready)
                if self._stopped:
                    return
                slices = [slice_ for slice_ in self._ready if not slice_.job.over]
                self._ready, self._ready_tokens = [], 0
                self._slices_wait.notify()  # the next batch is tokenized while this one is computed
            if slices:
                self._compute(slices)

    def _compute(self, slices: list[Slice]) -> None:
        lane = slices[0].job.lane
        start = time.perf_counter()
        try:
            batch = Packed.join([slice_.packed for slice_ in slices if slice_.packed is not None])
            rows = lane.compute(batch)
        except Exception as error:
            if len(slices) == 1:
                self._fail(slices[0].job, error)
            else:  # only the requests that hold the text at fault may fail
                for slice_ in slices:
                    self._compute([slice_])
            return
        seconds = time.perf_counter() - start
        self.metrics.batch(len(batch), len(batch.ids), seconds)
        self._measure(sum(slice_.tokens for slice_ in slices), seconds, lane.budget)
        self._deliver(slices, rows, seconds)

    def _measure(self, tokens: int, seconds: float, budget: int) -> None:
        """Update the rate, in estimated tokens as the backlog is.

        Small batches are slower per token; they are not counted, as a queue that is full has none.
        """
        if self.rate and tokens * SHARE < budget:
            return
        rate = tokens / max(seconds, 1e-6)
        self.rate = 0.8 * self.rate + 0.2 * rate if self.rate else rate

    def _deliver(self, slices: list[Slice], rows: Any, seconds: float) -> None:
        first = 0
        complete = []
        with self._lock:
            for job in {slice_.job for slice_ in slices}:
                job.compute_seconds += seconds
            for slice_ in slices:
                job = slice_.job
                for position, row in enumerate(slice_.index.tolist(), slice_.first):
                    job.rows[position] = rows[first + row]
                first += len(slice_.packed) if slice_.packed is not None else 0
                if job.over:
                    continue
                job.pending -= slice_.last - slice_.first
                job.remaining -= slice_.tokens
                self.backlog -= slice_.tokens
                if not job.pending:
                    self._leave(job)
                    complete.append(job)
        if complete and self._loop is not None:
            self._loop.call_soon_threadsafe(_answer, complete)

    def _fail(self, job: Job, error: Exception) -> None:
        with self._lock:
            self._resolve(job, error)

    def _resolve(self, job: Job, error: Exception) -> None:
        if not job.over and self._loop is not None:
            self._leave(job)
            self._loop.call_soon_threadsafe(_refuse, job, error)

    def _leave(self, job: Job) -> None:
        """Take a job out of the accounts."""
        job.over = True
        self._jobs.discard(job)
        self.backlog -= job.remaining
        job.remaining = 0
        self._gauge()

    def _gauge(self) -> None:
        self.metrics.queue_tokens.set(self.backlog)
        self.metrics.queue_requests.set(len(self._jobs))


def _answer(jobs: list[Job]) -> None:
    for job in jobs:
        if not job.result.done():
            job.result.set_result(job)


def _refuse(job: Job, error: Exception) -> None:
    if not job.result.done():
        job.result.set_exception(error)
