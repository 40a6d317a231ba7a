"""The OpenAPI document, made from the routes and their types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from instructor_embedding.serving.exchange import Operation
from instructor_embedding.serving.refusal import KINDS
from instructor_embedding.serving.routes.about import OPEN
from instructor_embedding.serving.schema import Error, OpenAIError
from instructor_embedding.version import __version__

REASONS = {
    400: "The body is not JSON",
    401: "The API key is missing or wrong",
    404: "There is no such model",
    408: "The body came too slowly",
    413: "The request, or one of its texts, is too large",
    415: "The body is compressed or not JSON",
    422: "The request is not what the schema allows",
    429: "The server is overloaded; Retry-After says when to try again",
    500: "The model computed a vector that is zero or not finite",
    503: "The server is starting or stopping",
}


def document(operations: Sequence[Operation], keyed: bool) -> dict[str, Any]:
    """Return the document as plain values; `keyed` says that an API key is needed."""
    types = [kind for operation in operations for kind in (operation.request, operation.reply) if kind is not None]
    schemas, components = msgspec.json.schema_components(
        [*types, Error, OpenAIError], ref_template="#/components/schemas/{name}"
    )
    schema_of = iter(schemas)
    paths: dict[str, Any] = {}
    for operation in operations:
        request = next(schema_of) if operation.request is not None else None
        described = _described(operation, request, next(schema_of), keyed)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    content: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "INSTRUCTOR embeddings", "version": __version__},
        "paths": paths,
        "components": {"schemas": components},
    }
    if keyed:
        content["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return content


def _described(operation: Operation, request: Any, reply: Any, keyed: bool) -> dict[str, Any]:
    error = {"$ref": f"#/components/schemas/{'OpenAIError' if operation.path.startswith('/v1/') else 'Error'}"}
    statuses = list(operation.errors)
    protected = keyed and operation.path not in OPEN
    if protected:
        statuses.append(401)
    if operation.request is not None:
        statuses += [status for status in KINDS if status not in (401, 405)]
    media = {
        kind: {"schema": {"type": "string", "format": "binary"} if kind == "application/octet-stream" else reply}
        for kind in operation.media
    }
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__ + ("_root" if operation.path == "/" else ""),
        "summary": operation.summary,
        "responses": {"200": {"description": "OK", "content": media}},
    }
    if operation.handler.__doc__:
        described["description"] = operation.handler.__doc__
    for status in sorted(set(statuses)):
        schema = reply if operation.path == "/ready" and status == 503 else error
        described["responses"][str(status)] = {
            "description": REASONS[status],
            "content": {"application/json": {"schema": schema}},
        }
    if request is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": request}}}
    if operation.path == "/instructions":
        described["parameters"] = [{"name": "model", "in": "query", "schema": {"type": "string"}}]
    if protected:
        described["security"] = [{"key": []}]
    return described
