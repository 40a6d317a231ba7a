"""From an error to a reply: its status and its form, OpenAI's under /v1, elsewhere text-embeddings-inference's."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.responses import Response

from instructor_embedding.errors import InputError, InstructorError, TruncationError, nearest
from instructor_embedding.serving.job import DrainingError, OverloadedError
from instructor_embedding.serving.schema import Error, ErrorDetail, OpenAIError
from instructor_embedding.serving.service import UnknownModelError
from instructor_embedding.serving.texts import TooManyTextsError

KINDS = {  # status: OpenAI's type, TEI's type
    400: ("invalid_request_error", "Validation"),
    401: ("authentication_error", "Unauthorized"),
    404: ("not_found_error", "NotFound"),
    405: ("invalid_request_error", "Validation"),
    408: ("timeout_error", "Timeout"),
    413: ("invalid_request_error", "Validation"),
    415: ("invalid_request_error", "Validation"),
    422: ("invalid_request_error", "Validation"),
    429: ("rate_limit_error", "Overloaded"),
    500: ("server_error", "Backend"),
    503: ("server_error", "Unhealthy"),
}


class RefusedError(InstructorError):
    """A request that is not answered, and the status that says why."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class ClientGoneError(InstructorError):
    """The client left before the reply."""


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, RefusedError):
        return error.status
    kinds: tuple[tuple[type[Exception] | tuple[type[Exception], ...], int], ...] = (
        (OverloadedError, 429),
        (DrainingError, 503),
        (UnknownModelError, 404),
        ((TooManyTextsError, TruncationError), 413),
        ((msgspec.ValidationError, InputError), 422),
        ((msgspec.DecodeError, UnicodeDecodeError, RecursionError), 400),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), 500)


def reply(error: Exception, path: str, fields: tuple[str, ...] = ()) -> Response:
    """Return the reply to a request that failed; `fields` are those the request may have."""
    status = status_of(error)
    message = str(error) if isinstance(error, (InstructorError, msgspec.MsgspecError)) else "the server failed"
    if isinstance(error, RecursionError):
        message = "the JSON is nested too deeply"
    elif isinstance(error, UnicodeDecodeError):
        message = "the body is not UTF-8 text"
    param = None
    if isinstance(error, msgspec.ValidationError):
        message, param = _explained(message, fields)
    openai, tei = KINDS[status]
    content: Any
    if path.startswith("/v1/"):
        code = getattr(error, "code", None) or ("model_not_found" if isinstance(error, UnknownModelError) else None)
        content = OpenAIError(ErrorDetail(message, openai, param, code))
    else:
        content = Error(message, tei)
    headers = {"retry-after": str(error.retry_after)} if isinstance(error, OverloadedError) else {}
    if status == 503:
        headers["retry-after"] = "5"
    if status in (408, 413, 503):
        headers["connection"] = "close"
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def _explained(message: str, fields: tuple[str, ...]) -> tuple[str, str | None]:
    """Add the nearest known field to an unknown one, and return where the fault is."""
    unknown = re.search(r"unknown field `(.*?)`", message)
    if unknown and fields:
        hint = nearest(unknown[1], fields)
        return f"the request has the unknown field {unknown[1]!r}{hint}; known: {', '.join(fields)}", unknown[1]
    where = re.search(r"at `\$\.?(.*?)`", message)
    missing = re.search(r"missing required field `(.*?)`", message)
    return message, missing[1] if missing else where[1] if where else None
