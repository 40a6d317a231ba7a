"""Damage to bytes and to JSON, as it comes from disks, transfers, editors and people who mean harm."""

import json

BYTES = [b"", b"\0", b"\xff" * 8, b"\xef\xbb\xbf", b"\r", b"\n", b'"', b"{", b"]", b"\x80", b"9" * 40, b"\0" * 64]
VALUES = [
    None, True, -1, 0, 1, 2, 3, 7, 2**31, 2**62, -(2**63), 1e308, float("inf"), float("nan"), 0.5, "", "a", "../..",
    "\0", "\ud800", [], {}, [[]], [None], {"a": None}, "9" * 5000, [0] * 1000, "Infinity", "t5", "relu",
]  # fmt: skip


def damaged(data, random):
    """Return bytes with one to three changes: bits, pieces removed, repeated, moved or put in, or the end cut off."""
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        size = len(data)
        at = random.randrange(size + 1)
        end = min(size, at + random.choice((1, 2, 8, 100, 4096)))
        kind = random.randrange(6)
        if kind == 0 and size:
            data[min(at, size - 1)] ^= 1 << random.randrange(8)
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = data[at:end]
        elif kind == 3:
            data[at:at] = random.choice(BYTES)
        elif kind == 4:
            del data[at:]
        else:
            other = random.randrange(size + 1)
            data[other:other] = data[at:end]
    return bytes(data)


def changed_json(data, random):
    """Return JSON with a value replaced, a key removed or added, or the document nested or repeated."""
    content = json.loads(data)
    slots = list(_slots(content))
    kind = random.randrange(8)
    if kind == 0:
        return json.dumps(random.choice(VALUES)).encode("utf-8", "surrogatepass")
    if kind == 1:
        depth = random.choice((50, 2000, 200_000))
        return b"[" * depth + data + b"]" * depth
    if slots:
        holder, key = random.choice(slots)
        if kind == 2 and isinstance(holder, dict):
            del holder[key]
        elif kind == 3 and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        else:
            holder[key] = random.choice(VALUES)
    text = json.dumps(content)
    return (text.replace(":", ": " + "9" * 5000, 1) if kind == 4 else text).encode()


def _slots(content, depth=0):
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in pairs:
        yield content, key
        if depth < 6:
            yield from _slots(value, depth + 1)
