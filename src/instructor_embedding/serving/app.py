"""The application: routes, their documentation, CORS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from instructor_embedding.serving import openapi, reply
from instructor_embedding.serving.access import Endpoint
from instructor_embedding.serving.exchange import Exchange, Operation
from instructor_embedding.serving.refusal import RefusedError
from instructor_embedding.serving.refusal import reply as refused
from instructor_embedding.serving.routes import about, compare, embed, embeddings, page, tokenize
from instructor_embedding.serving.service import Service

OPERATIONS: tuple[Operation, ...] = (
    *embeddings.OPERATIONS,
    *embed.OPERATIONS,
    *compare.OPERATIONS,
    *tokenize.OPERATIONS,
    *about.OPERATIONS,
)
EXPOSED = ["x-instruction", "x-truncated", "x-request-id", "x-compute-tokens", "retry-after"]


def application(
    service: Service, keys: Sequence[str] = (), cors: Sequence[str] = (), log_format: str = "off"
) -> Starlette:
    """Return the ASGI application of a service.

    Parameters
    ----------
    service : Service
        It is started and stopped with the application.
    keys : sequence of str
        API keys; requests but those for the page and for probes must show one.
    cors : sequence of str
        Origins whose pages may call the server; ``"*"`` allows all. Default: none.
    log_format : str
        ``"text"``, ``"json"`` or ``"off"``.
    """
    encoded = tuple(key.encode() for key in keys)
    description = openapi.document(OPERATIONS, bool(keys))

    def route(operation: Operation, path: str, open_to_all: bool) -> Route:
        endpoint = Endpoint(operation, service, () if open_to_all else encoded, log_format)
        return Route(path, endpoint, methods=[operation.method])

    async def described(exchange: Exchange) -> Response:
        """Return the OpenAPI document."""
        return reply.as_json(description)

    routes = [route(operation, operation.path, operation.path in about.OPEN) for operation in OPERATIONS]
    itself = Operation("GET", "/openapi.json", described, None, dict, "This document")
    routes.append(route(itself, itself.path, True))
    pages = Operation("GET", "/page", page.page, None, str, "The playground")
    routes += [route(pages, address, True) for address in page.addresses()]

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        await service.start()
        yield
        service.queue.stop()

    middleware = []
    if cors:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(cors),
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=EXPOSED,
            )
        )
    errors = {HTTPException: _unrouted}
    return Starlette(routes=routes, middleware=middleware, lifespan=running, exception_handlers=errors)


async def _unrouted(request: Request, error: Exception) -> Response:
    """Answer a request for an address or a method that does not exist."""
    assert isinstance(error, HTTPException)
    known = ", ".join(sorted({f"{operation.method} {operation.path}" for operation in OPERATIONS}))
    message = f"there is no {request.method} {request.url.path[:100]}; there are: {known}"
    response = refused(RefusedError(404 if error.status_code == 404 else 405, message), request.url.path)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response
