"""One request and its way through the queue: read, decode, compute, and notice when the client is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from instructor_embedding.serving import texts
from instructor_embedding.serving.job import Job
from instructor_embedding.serving.lane import Input, Lane
from instructor_embedding.serving.refusal import ClientGoneError, RefusedError
from instructor_embedding.serving.service import Served, Service

T = TypeVar("T", bound=msgspec.Struct)
WATCH_AFTER = 0.05  # seconds until a disconnect is watched for; most replies are sent before
_decoder = cache(msgspec.json.Decoder)


@dataclass(frozen=True)
class Operation:
    """A route: what it takes, what it returns, and how the documentation calls it."""

    method: str
    path: str
    handler: Callable[[Exchange], Coroutine[Any, Any, Response]]
    request: type[msgspec.Struct] | None
    reply: Any
    summary: str
    media: tuple[str, ...] = ("application/json",)
    errors: tuple[int, ...] = ()


@dataclass(eq=False)
class Exchange:
    """A request in the hands of a route.

    Parameters
    ----------
    service : Service
    request : Request
    log : dict
        Facts of the log line; never a text.
    """

    service: Service
    request: Request
    log: dict[str, Any]
    fields: tuple[str, ...] = ()  # of the request's type, for errors

    async def read(self, kind: type[T], queued: bool = True) -> T:
        """Read and decode the body of a request, whose texts will be `queued` or not.

        Raises
        ------
        RefusedError
            It is too large, too slow, compressed or not JSON.
        OverloadedError
            The queue is full.
        msgspec.DecodeError
            It is not what `kind` describes.
        """
        headers = self.request.headers
        self.fields = kind.__struct_fields__
        if headers.get("content-encoding", "identity") != "identity":
            raise RefusedError(415, "compressed bodies are not accepted; send the JSON plain, without content-encoding")
        media = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media != "application/json" and not media.endswith("+json"):
            raise RefusedError(415, f"the body must be JSON, with content-type: application/json, got {media!r}")
        body = await self._body()
        if queued:
            self.service.queue.refuse_if_full()  # thousands of refusals per second must leave time to compute
        decoded: T = _decoder(kind).decode(body)
        return decoded

    async def _body(self) -> bytes:
        limit = self.service.limits.body
        declared = self.request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            raise RefusedError(413, f"the body has {declared} bytes, at most {limit} are allowed; send fewer texts")
        task = asyncio.current_task()
        assert task is not None
        late = asyncio.get_running_loop().call_later(self.service.limits.body_seconds, task.cancel)
        chunks, size, more = [], 0, True
        try:
            while more:
                message = await self.request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise RefusedError(413, f"the body has more than {limit} bytes; send fewer texts")
                chunks.append(chunk)
                more = message.get("more_body", False)
        except asyncio.CancelledError:
            if not late.cancelled() and late.when() <= asyncio.get_running_loop().time():
                raise RefusedError(
                    408, f"the body did not come within {self.service.limits.body_seconds:g} s"
                ) from None
            raise
        finally:
            late.cancel()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def texts(self, model: Served, value: Any, asked: texts.Asked, field: str = "inputs") -> texts.Texts:
        """Return the request's texts as pairs or token ids; note them in the log."""
        service = self.service
        limit = service.limits.client_batch
        result = texts.read(value, asked, model.table, service.default_instruction, model.tokens, limit, field)
        if result.source == "none":
            service.metrics.bare.inc(len(result.inputs))
        return result

    async def compute(self, lane: Lane, inputs: Sequence[Input], truncate: bool | None) -> Job:
        """Put texts into the queue and wait for them; when the client leaves, its texts are dropped.

        Raises
        ------
        ClientGoneError, OverloadedError, DrainingError, TruncationError, VectorError
        """
        service = self.service
        job = service.queue.submit(lane, inputs, truncate is not False)
        loop = asyncio.get_running_loop()
        watch: list[asyncio.Task[None]] = []
        late = loop.call_later(WATCH_AFTER, lambda: watch.append(loop.create_task(self._watched(job))))
        try:
            await job.result
        except asyncio.CancelledError:
            service.queue.cancel(job)
            raise ClientGoneError from None
        finally:
            late.cancel()
            for task in watch:
                task.cancel()
        service.metrics.queue_duration.observe(job.queue_seconds)
        service.metrics.tokenize_duration.observe(job.tokenize_seconds)
        service.metrics.compute_duration.observe(job.compute_seconds)
        if job.truncated:
            service.metrics.truncated.inc(job.truncated)
        self.log.update(model=lane.name, texts=len(inputs), tokens=int(job.lengths.sum()), truncated=job.truncated)
        return job

    async def _watched(self, job: Job) -> None:
        message = await self.request.receive()
        if message["type"] == "http.disconnect" and not job.result.done():
            self.service.queue.cancel(job)
            job.result.cancel()


def refuse_left(direction: str | None) -> None:
    """Refuse truncation on the left, which would drop the instruction."""
    if direction is not None and direction.lower() == "left":
        raise RefusedError(422, "truncation_direction must be 'Right': the instruction is on the left")
