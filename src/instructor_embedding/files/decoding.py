"""Text in: one decoding for every input, and numbered lines.

Readers see UTF-8 bytes without a byte order mark, whatever the file's encoding; see `as_utf8`.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO

from instructor_embedding.errors import InputError
from instructor_embedding.files.opening import CHUNK, LONGEST, RawSource

# the longer marks first: that of UTF-32 begins with that of UTF-16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HINT = "convert it, or give its encoding: --encoding latin-1"


class Decoder:
    """Decodes bytes as they come and knows the line and the byte of what it cannot decode.

    Parameters
    ----------
    name : str
        The file, for errors.
    encoding : str
        A codec of Python.
    start : int
        Bytes of the file before the first that is decoded, such as a byte order mark.
    """

    def __init__(self, name: str, encoding: str, start: int = 0) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._name, self._encoding = name, encoding
        self._offset, self._line = start, 1

    def decode(self, data: bytes, final: bool = False) -> str:
        """Return the text of the next bytes; what is incomplete waits for the next call.

        Raises
        ------
        InputError
            With line and byte.
        """
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            line = self._line + error.object[: error.start].decode(self._encoding, "ignore").count("\n")
            offset = self._offset - pending + error.start
            shown = "UTF-8" if self._encoding == "utf-8" else self._encoding
            hint = f"; {_HINT}" if shown == "UTF-8" else ""
            raise InputError(
                f"{self._name}, line {line} is not {shown} text (byte {offset} of the file: "
                f"0x{error.object[error.start]:02x}, {error.reason}){hint}"
            ) from None
        self._offset += len(data)
        self._line += text.count("\n")
        return text


def codec_of(encoding: str) -> str:
    """Return the name that Python gives an encoding.

    Raises
    ------
    InputError
        Python has no such encoding of text.
    """
    try:
        codec = codecs.lookup(encoding)
        if codec.incrementaldecoder is None or not getattr(codec, "_is_text_encoding", True):
            raise LookupError
    except (LookupError, ValueError):
        raise InputError(
            f"encoding={encoding!r} is unknown; allowed: those of Python, such as utf-8, utf-16, utf-16-le, latin-1, "
            "cp1252, shift_jis"
        ) from None
    return codec.name


def as_utf8(file: io.BufferedReader, name: str, encoding: str | None = None) -> tuple[io.BufferedReader, int]:
    """Return the stream as UTF-8 without a byte order mark, and the bytes of the mark that were skipped.

    Parameters
    ----------
    file : binary stream
        As `opening.opened` gives it.
    name : str
        For errors.
    encoding : str, optional
        Default: what the byte order mark says, or else UTF-8.
    """
    head = _head(file)
    marked = next(((mark, codec) for mark, codec in _MARKS if head.startswith(mark)), None)
    codec = codec_of(encoding) if encoding is not None else marked[1] if marked else "utf-8"
    if codec in ("utf-8", "utf-8-sig"):
        skipped = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
        file.read(skipped)
        return file, skipped
    decoder = Decoder(name, codec)
    first = True

    def pull() -> bytes:
        nonlocal first
        while True:
            data = file.read1(CHUNK)
            text = decoder.decode(data, not data)
            if text and first:
                text, first = text.removeprefix("\ufeff"), False
            if text or not data:
                return text.encode()

    return io.BufferedReader(RawSource(pull), CHUNK), 0


def text_lines(file: BinaryIO, name: str, start: int = 0) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of each line of a UTF-8 stream, its end included.

    Lines end with a line feed, a carriage return or both.

    Raises
    ------
    InputError
        A line is not UTF-8, holds a NUL character or is longer than `LONGEST`.
    """
    for number, line in enumerate(_byte_lines(file, name), 1):
        yield number, decoded_line(line, name, number, start)
        start += len(line)


def decoded_line(line: bytes, name: str, number: int, offset: int) -> str:
    """Return the text of a line that starts at byte `offset` of the file.

    Raises
    ------
    InputError
        It is not UTF-8, or holds a NUL character.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}, line {number} is not UTF-8 text (byte {offset + error.start} of the file, byte {error.start} of "
            f"the line: 0x{line[error.start]:02x}); {_HINT}"
        ) from None
    if "\0" in text:
        index = line.index(0)
        raise InputError(
            f"{name}, line {number} holds a NUL character (byte {offset + index} of the file), as UTF-16 without a "
            "byte order mark does; convert it, or give its encoding: --encoding utf-16-le"
        )
    return text


def _byte_lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    rest, number = b"", 0
    read = getattr(file, "read1", file.read)
    while block := read(max(CHUNK, len(rest))):
        lines = (rest + block).splitlines(keepends=True)
        # the last line may continue in the next block, and so may the pair \r\n
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        number += len(lines)
        if len(rest) > LONGEST:
            raise InputError(f"{name}, line {number + 1} is longer than {LONGEST // 2**20} MiB")
        yield from lines
    if rest:
        yield from rest.splitlines(keepends=True)


def _head(file: io.BufferedReader) -> bytes:
    """Return the first bytes of a stream without taking them; enough for every byte order mark."""
    return file.peek(4)[:4]
