"""Whether the hub can be reached, asked once with a short timeout, and its libraries offline where it cannot."""

from __future__ import annotations

import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import urlsplit

_SECONDS = 3.0


@cache
def reachable() -> bool:
    """Return whether the hub, or the proxy in front of it, accepts a connection; asked once per process."""
    from huggingface_hub import constants

    hub = urlsplit(constants.ENDPOINT)
    proxy = urllib.request.getproxies().get(hub.scheme)
    address = urlsplit(proxy if proxy and "//" in proxy else f"//{proxy}") if proxy else hub
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=_SECONDS).close()
    except OSError:
        return False
    return True


@contextmanager
def offline() -> Iterator[None]:
    """Keep huggingface_hub and datasets from retrying: what is not in their caches fails at once."""
    from huggingface_hub import constants

    # datasets keeps a copy of the flag; where it is not imported yet it will take over this one
    holders = [constants, *(module for module in [sys.modules.get("datasets.config")] if module is not None)]
    before = [holder.HF_HUB_OFFLINE for holder in holders]
    for holder in holders:
        holder.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for holder, value in zip(holders, before, strict=True):
            holder.HF_HUB_OFFLINE = value  # type: ignore[attr-defined]


@contextmanager
def without_waiting() -> Iterator[None]:
    """Load from the hub where it can be reached, and from its cache alone, at once, where it cannot."""
    if reachable():
        yield
        return
    with offline():
        yield
