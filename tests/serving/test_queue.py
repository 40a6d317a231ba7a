"""The queue without HTTP: order, bounds, deadlines, faults, in one process with a backend of known speed."""

import asyncio
import threading
import time

import numpy as np
import pytest

from instructor_embedding import Pair, TruncationError, VectorError
from instructor_embedding.model.packed import Packed
from instructor_embedding.serving.job import DrainingError, OverloadedError
from instructor_embedding.serving.lane import Lane
from instructor_embedding.serving.metrics import Metrics
from instructor_embedding.serving.queue import Queue


class Slow:
    """Computes a vector of each text's first and last id, in a set time per token; notes the batches."""

    def __init__(self, tokens, seconds=0.0, budget=64):
        self.seconds, self.batches = seconds, []
        self.lane = Lane("slow", tokens, self.compute, budget)
        self.gate = threading.Event()
        self.gate.set()

    def compute(self, packed):
        self.gate.wait(10)
        self.batches.append(len(packed))
        time.sleep(self.seconds * len(packed.ids))
        if (packed.ids == 7).any():
            raise VectorError("seven")
        ends = packed.starts[1:] - 1
        return np.stack([packed.ids[packed.starts[:-1]], packed.ids[ends - 1]], 1).astype(np.float32)


@pytest.fixture
def slow(models):
    return Slow(models["relu"].tokens)


def run(scenario, max_tokens=10**6, max_wait=30.0):
    """Run a coroutine with a queue of its own."""

    async def main():
        queue = Queue(max_tokens, max_wait, Metrics())
        queue.start()
        try:
            return await asyncio.wait_for(scenario(queue), 30)
        finally:
            queue.stop()

    return asyncio.run(main())


def ids(*numbers):
    return Packed.of([list(numbers)], [0])


def test_many_requests_share_batches_and_each_gets_its_own_rows(slow):
    async def scenario(queue):
        slow.gate.clear()
        jobs = [queue.submit(slow.lane, [ids(n + 10, 5, 1), ids(n + 10, n + 20, 1)]) for n in range(40)]
        slow.gate.set()
        return [(await job.result).rows for job in jobs]

    for number, rows in enumerate(run(scenario)):
        assert np.array_equal(rows, [[number + 10, 5], [number + 10, number + 20]])
    assert max(slow.batches) > 2
    assert len(slow.batches) < 20


def test_a_batch_of_several_slices_is_timed_once(slow):
    async def scenario(queue):
        slow.seconds = 0.3 / 200
        slow.gate.clear()
        first = queue.submit(slow.lane, [ids(9, 1)])
        await asyncio.sleep(0.05)
        job = queue.submit(slow.lane, [ids(9)] * 60)  # four slices
        await asyncio.sleep(0.05)
        start = time.perf_counter()
        slow.gate.set()
        await asyncio.gather(first.result, job.result)
        return job.compute_seconds, time.perf_counter() - start

    seconds, elapsed = run(scenario)
    assert max(slow.batches) > 16
    assert 0 < seconds <= elapsed


def test_a_small_request_overtakes_a_large_one(models):
    slow = Slow(models["relu"].tokens, 2e-4)

    async def scenario(queue):
        large = queue.submit(slow.lane, [ids(*range(10, 26), 1)] * 400)
        await asyncio.sleep(0.15)
        small = queue.submit(slow.lane, [ids(10, 11, 1)])
        await small.result
        return large.result.done(), large.pending

    done, pending = run(scenario)
    assert not done
    assert pending > 200


def test_a_short_text_is_not_held_up_by_long_ones(models):
    slow = Slow(models["relu"].tokens, 1e-4, budget=400)

    async def scenario(queue):
        finished = []
        jobs = {"long": queue.submit(slow.lane, [ids(*[9] * 300)])}  # being computed
        await asyncio.sleep(0.01)
        jobs |= {f"long {n}": queue.submit(slow.lane, [ids(*[9] * 300)]) for n in range(5)}
        jobs["short"] = queue.submit(slow.lane, [ids(9, 1)])
        for name, job in jobs.items():
            job.result.add_done_callback(lambda _, name=name: finished.append(name))
        await asyncio.gather(*(job.result for job in jobs.values()))
        return finished

    assert run(scenario).index("short") <= 2


def test_the_queue_is_bounded_in_tokens(slow):
    async def scenario(queue):
        slow.gate.clear()
        jobs = [queue.submit(slow.lane, [ids(*[9] * 50)])]
        with pytest.raises(OverloadedError) as error:
            queue.submit(slow.lane, [ids(*[9] * 60)])
        jobs.append(queue.submit(slow.lane, [ids(9, 1)]))  # still fits
        slow.gate.set()
        await asyncio.gather(*(job.result for job in jobs))
        large = queue.submit(slow.lane, [ids(*[9] * 50)] * 4)  # more than the bound, but alone
        await large.result
        return error.value.retry_after, queue.backlog

    assert run(scenario, max_tokens=100) == (1, 0)


def test_what_would_wait_too_long_is_refused_at_once(models):
    slow = Slow(models["relu"].tokens, 1e-3)

    async def scenario(queue):
        await queue.submit(slow.lane, [ids(*[9] * 30)]).result  # measures the rate
        accepted, refused = [], 0
        for _ in range(100):
            try:
                accepted.append((time.perf_counter(), queue.submit(slow.lane, [ids(*[9] * 50)])))
            except OverloadedError:
                refused += 1
        waits = []
        for start, job in accepted:
            await job.result
            waits.append(time.perf_counter() - start)
        return refused, max(waits)

    refused, longest = run(scenario, max_wait=0.5)
    assert refused > 50
    assert longest < 1.0 + 0.5


def test_what_waited_too_long_is_refused(slow):
    async def scenario(queue):
        slow.gate.clear()
        jobs = [queue.submit(slow.lane, [ids(*[9] * 60)]) for _ in range(6)]
        await asyncio.sleep(0.3)
        slow.gate.set()
        return await asyncio.gather(*(job.result for job in jobs), return_exceptions=True)

    results = run(scenario, max_wait=0.1)
    assert isinstance(results[-1], OverloadedError)
    assert not isinstance(results[0], Exception)


def test_a_fault_fails_its_own_request_alone(slow):
    async def scenario(queue):
        slow.gate.clear()
        jobs = [queue.submit(slow.lane, [ids(n, 5, 1)]) for n in (9, 7, 10)]
        slow.gate.set()
        return await asyncio.gather(*(job.result for job in jobs), return_exceptions=True)

    first, second, third = run(scenario)
    assert isinstance(second, VectorError)
    assert first.rows[0][0] == 9
    assert third.rows[0][0] == 10


def test_work_of_a_client_that_is_gone_is_dropped(models):
    slow = Slow(models["relu"].tokens, 1e-4)

    async def scenario(queue):
        job = queue.submit(slow.lane, [ids(*range(10, 26), 1)] * 2000)
        await asyncio.sleep(0.1)
        queue.cancel(job)
        computed = sum(slow.batches)
        start = time.perf_counter()
        await queue.submit(slow.lane, [ids(9, 1)]).result
        return computed, sum(slow.batches), time.perf_counter() - start, queue.backlog

    before, after, seconds, backlog = run(scenario)
    assert after - before < 200
    assert seconds < 1
    assert backlog == 0


def test_draining_answers_what_was_accepted(models):
    slow = Slow(models["relu"].tokens, 1e-4)

    async def scenario(queue):
        jobs = [queue.submit(slow.lane, [ids(*[9] * 30)] * 20) for _ in range(5)]
        drained = asyncio.ensure_future(queue.drain())
        await asyncio.sleep(0)
        with pytest.raises(DrainingError):
            queue.submit(slow.lane, [ids(9, 1)])
        await drained
        return [job.result.done() for job in jobs]

    assert run(scenario) == [True] * 5


def test_truncation_is_counted_or_refused(models):
    tokens = models["relu"].tokens
    lane = Slow(tokens).lane

    async def scenario(queue):
        texts = [Pair("", "a cat"), Pair("", "word " * 2000)]
        quiet = await queue.submit(lane, texts).result
        with pytest.raises(TruncationError, match=r"input\[1\]"):
            await queue.submit(lane, texts, truncate=False).result
        return quiet.truncated, quiet.lengths[1]

    assert run(scenario) == (1, tokens.max_length)


def test_two_models_share_the_queue(models):
    first, second = Slow(models["relu"].tokens), Slow(models["gated"].tokens)

    async def scenario(queue):
        jobs = [queue.submit((first, second)[n % 2].lane, [ids(n + 8, 5, 1)]) for n in range(20)]
        return [int((await job.result).rows[0][0]) for job in jobs]

    expected = [n + 8 for n in range(20)]
    assert run(scenario) == expected
    assert sum(first.batches) == sum(second.batches) == 10
