"""The playground: static files of this package at ``/``."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from starlette.responses import Response

from instructor_embedding.serving.exchange import Exchange

MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_OTHER_NAMES = {"/": "/page/index.html", "/favicon.ico": "/page/icon.svg"}
SECURITY = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}


@cache
def pages() -> dict[str, tuple[bytes, str, str]]:
    """Return the content, media type and ETag of each file, by its address."""
    result = {}
    for file in files("instructor_embedding.serving").joinpath("page").iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in MEDIA:
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            result[f"/page/{file.name}"] = content, MEDIA[suffix], tag
    return result


async def page(exchange: Exchange) -> Response:
    """Return a file of the playground."""
    path = exchange.request.url.path
    content, media, tag = pages()[_OTHER_NAMES.get(path, path)]
    headers = {"etag": tag, "cache-control": "no-cache", "content-type": media, **SECURITY}
    if exchange.request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers)


def addresses() -> list[str]:
    """Return the addresses that the playground answers."""
    return [*_OTHER_NAMES, *pages()]
