"""JSON: one value per line, one value per file, or a list whose items are read one at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from instructor_embedding.errors import InputError
from instructor_embedding.files.decoding import Decoder
from instructor_embedding.files.opening import CHUNK, LONGEST

_BLANKS = re.compile(r"[ \t\r\n]*")


class RecordError(InputError):
    """One record cannot be read; those after it can."""


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's dict; of two equal keys the last would win silently."""
    record = dict(items)
    if len(record) != len(items):
        keys = [key for key, _ in items]
        twice = next(key for key in record if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def parse_line(line: bytes) -> Any:
    """Return the JSON value of a line.

    Raises
    ------
    RecordError
        It is not UTF-8 or not JSON.
    """
    try:
        return _DECODER.decode(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecordError(
            f"not UTF-8 text (byte {error.start} of the line: 0x{line[error.start]:02x}); convert the file, "
            "or give its encoding: --encoding latin-1"
        ) from None
    except json.JSONDecodeError as error:
        raise RecordError(f"invalid JSON: {error.msg} at column {error.colno}{_utf16(line)}") from None
    except (RecursionError, ValueError) as error:
        raise RecordError(f"invalid JSON: {_reason(error)}") from None


def parse_file(file: BinaryIO, name: str) -> Any:
    """Return the one JSON value of a file, which is read into memory.

    Raises
    ------
    InputError
        It is not UTF-8 or not JSON; the message has the line.
    """
    text = Decoder(name, "utf-8").decode(file.read(), True)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}, line {error.lineno}: invalid JSON: {error.msg} at column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"{name}: invalid JSON: {_reason(error)}") from None


def list_items(file: BinaryIO, name: str) -> Iterator[Any]:
    """Yield the items of a JSON list, one at a time, in bounded memory.

    Parameters
    ----------
    file : binary stream
        UTF-8; its first character that is not blank is ``[``.
    name : str
        For errors.

    Raises
    ------
    InputError
        With the item.
    """
    window = _Window(file, name)
    window.next_character()
    window.at += 1
    if window.next_character() != "]":
        while True:
            yield window.take_item(_DECODER.raw_decode)
            window.item += 1
            separator = window.next_character()
            if separator == "]":
                break
            if separator != ",":
                actual = f"got {separator!r}" if separator else "the file ends; is it truncated?"
                raise window.error(f"expected ',' or ']' before it, {actual}")
            window.at += 1
            window.next_character()
    window.at += 1
    if rest := window.next_character():
        raise InputError(f"{window.name}: after the list's end comes {rest!r}; write one list, or one record per line")


class _Window:
    """The stretch of a long JSON text that is being parsed."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file = file
        self.decoder = Decoder(name, "utf-8")
        self.name = name
        self.text = ""
        self.at = 0
        self.item = 1

    def grow(self) -> bool:
        """Drop what was parsed and append as much again; False at the file's end."""
        self.text = self.text[self.at :]
        self.at = 0
        if len(self.text) > LONGEST:
            raise self.error(f"it is longer than {LONGEST // 2**20} MiB")
        data = self.file.read(max(CHUNK, len(self.text)))
        self.text += self.decoder.decode(data, not data)
        return bool(data)

    def next_character(self) -> str:
        """Skip blanks; return the next character without taking it, or "" at the end."""
        while True:
            self.at = cast("re.Match[str]", _BLANKS.match(self.text, self.at)).end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.grow():
                return ""

    def take_item(self, decode: Callable[[str, int], tuple[Any, int]]) -> Any:
        """Decode the value that starts here, reading on while the window's end may split it."""
        while True:
            try:
                value, end = decode(self.text, self.at)
            except json.JSONDecodeError as error:
                split = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - 16
                if split and self.grow():
                    continue
                raise self.error(f"invalid JSON: {error.msg}") from None
            except (RecursionError, ValueError) as error:
                raise self.error(f"invalid JSON: {_reason(error)}") from None
            # a number at the window's end may have more digits
            if end < len(self.text) or not self.grow():
                self.at = min(end, len(self.text))
                return value

    def error(self, why: str) -> InputError:
        """Return an error that names the file and the item."""
        return InputError(f"{self.name}, item {self.item}: {why}")


def _reason(error: Exception) -> str:
    """Return why valid syntax cannot be read: of its limits, the decoder of json speaks in its own words."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "an integer has too many digits" if str(error).startswith("Exceeds the limit") else str(error)


def _utf16(line: bytes) -> str:
    return "; it holds NUL bytes, as UTF-16 does: --encoding utf-16-le" if b"\0" in line else ""
