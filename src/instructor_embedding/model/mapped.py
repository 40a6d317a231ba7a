"""Memory of weights that are mapped from a file, given back when a packed copy of them is in use."""

from __future__ import annotations

import ctypes
import re
from bisect import bisect_left
from pathlib import Path

from torch import Tensor

_MADV_DONTNEED = 4
_MAPPING = re.compile(  # one mapping in /proc/self/smaps; file 0 is memory without a file
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) \S+ \S+ \S+ (?P<file>\d+).*\n(?P<facts>(?:[A-Z]\w+:.*\n)*)", re.MULTILINE
)


def release(tensors: list[Tensor]) -> None:
    """Give back the memory of tensors that are mapped from a file and were never written to; Linux only.

    Use it when a copy of them is at work: they stay readable, from the file.
    """
    try:
        maps = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
        libc = ctypes.CDLL(None)
    except OSError:
        return
    places = sorted(tensor.data_ptr() for tensor in tensors)
    for part in _MAPPING.finditer(maps):
        start, end = int(part["start"], 16), int(part["end"], 16)
        place = bisect_left(places, start)
        if part["file"] != "0" and place < len(places) and places[place] < end and _clean(part["facts"]):
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _clean(facts: str) -> bool:
    """Say whether a mapping, in the words of smaps, holds no page of its own that its file does not have."""
    counts = dict(re.findall(r"^(\w+): +(\d+) kB$", facts, re.MULTILINE))
    return counts.get("Private_Dirty") == counts.get("Anonymous") == counts.get("Swap") == "0"
