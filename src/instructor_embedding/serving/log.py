"""One line per request on stderr, as JSON or text; never a text of a user, a key or a query string."""

from __future__ import annotations

import sys
import time
from typing import Any

import orjson


def line(form: str, facts: dict[str, Any]) -> None:
    """Write one line."""
    if form == "off":
        return
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    if form == "json":
        text = orjson.dumps({"time": f"{stamp}Z", **facts}).decode()
    else:
        text = " ".join([stamp, *(f"{name}={value}" for name, value in facts.items())])
    sys.stderr.write(text + "\n")
