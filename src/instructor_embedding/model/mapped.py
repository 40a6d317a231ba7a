"""Memory of weights that are mapped from a file, released when a packed copy of them is in use."""

from __future__ import annotations

import ctypes
import re
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

_MADV_DONTNEED = 4
_MAPPING = re.compile(  # one mapping in /proc/self/smaps; file 0 is memory without a file
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) \S+ \S+ \S+ (?P<file>\d+).*\n(?P<facts>(?:[A-Z]\w+:.*\n)*)", re.MULTILINE
)


def release(addresses: Iterable[int]) -> None:
    """Release the memory of arrays that are mapped from a file and were never written to; Linux only.

    Use it once, after packing all matrices of a model: they stay readable, from the file.
    """
    try:
        maps = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
        libc = ctypes.CDLL(None)
    except OSError:
        return
    ordered = sorted(addresses)
    for mapping in _MAPPING.finditer(maps):
        start, end = int(mapping["start"], 16), int(mapping["end"], 16)
        index = bisect_left(ordered, start)
        inside = index < len(ordered) and ordered[index] < end
        if mapping["file"] != "0" and inside and _is_clean(mapping["facts"]):
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _is_clean(facts: str) -> bool:
    """Return whether a mapping of smaps has no dirty, anonymous or swapped page: none that differs from its file."""
    counts = dict(re.findall(r"^(\w+): +(\d+) kB$", facts, re.MULTILINE))
    return counts.get("Private_Dirty") == counts.get("Anonymous") == counts.get("Swap") == "0"
