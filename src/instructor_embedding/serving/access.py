"""What happens around every route: API key, request id, errors as replies, metrics and the log."""

from __future__ import annotations

import hmac
import re
import sys
import time
import traceback
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from instructor_embedding.errors import InstructorError
from instructor_embedding.serving import log, refusal
from instructor_embedding.serving.exchange import Exchange, Operation
from instructor_embedding.serving.refusal import ClientGoneError, RefusedError
from instructor_embedding.serving.service import Service

_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)


@dataclass(frozen=True, eq=False)
class Endpoint:
    """A route as an ASGI application.

    Parameters
    ----------
    operation : Operation
    service : Service
    keys : tuple of bytes
        API keys, of which a request must show one; empty: none is needed.
    log_format : str
        One of ``serving.LOG_FORMATS``.
    """

    operation: Operation
    service: Service
    keys: tuple[bytes, ...]
    log_format: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = time.perf_counter()
        request = Request(scope, receive)
        label = request.headers.get("x-request-id", "")
        number = label if _ID.fullmatch(label) else uuid.uuid4().hex
        facts: dict[str, Any] = {"id": number, "method": scope["method"], "path": self.operation.path}
        exchange = Exchange(self.service, request, facts)
        service = self.service
        service.active += 1
        try:
            response = await self._response(exchange)
            if response is None:
                status = 499
            else:
                status = response.status_code
                response.headers["x-request-id"] = number
                response.headers["x-total-time"] = str(int((time.perf_counter() - start) * 1000))
                if service.queue.draining:
                    response.headers["connection"] = "close"
                await response(scope, receive, send)
        finally:
            service.active -= 1
        seconds = time.perf_counter() - start
        self._count(status, seconds)
        log.line(self.log_format, facts | {"status": status, "ms": round(seconds * 1000, 1)})

    async def _response(self, exchange: Exchange) -> Response | None:
        """Return the route's response, that of an error, or None where the client is gone."""
        try:
            self._authorize(exchange.request)
            return await self.operation.handler(exchange)
        except ClientGoneError:
            return None
        except Exception as error:
            if refusal.status_of(error) == 500:
                exchange.log["error"] = str(error) if isinstance(error, InstructorError) else type(error).__name__
                if not isinstance(error, InstructorError):  # the message may hold a text; the frames do not
                    sys.stderr.writelines(traceback.format_tb(error.__traceback__))
            return refusal.reply(error, self.operation.path, exchange.fields)

    def _authorize(self, request: Request) -> None:
        if not self.keys:
            return
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not shown:
            raise RefusedError(
                401, "this server needs an API key; send the header Authorization: Bearer KEY", "no_api_key"
            )
        # every key is compared, in a time that depends on neither
        matches = [hmac.compare_digest(shown.strip().encode("latin-1", "replace"), key) for key in self.keys]
        if not any(matches):
            raise RefusedError(401, "the API key is wrong", "invalid_api_key")

    def _count(self, status: int, seconds: float) -> None:
        if self.operation.request is None:
            return
        metrics, path = self.service.metrics, self.operation.path
        metrics.requests.labels(path).inc()
        metrics.duration.observe(seconds)
        if status == 200:
            metrics.answered.labels(path).inc()
        else:
            metrics.failures.labels(str(status)).inc()
