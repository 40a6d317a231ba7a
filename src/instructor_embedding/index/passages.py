"""Documents as passages: text and Markdown, split at headings, paragraphs and sentences, with overlap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


class Passage(NamedTuple):
    """A stretch of a document.

    Attributes
    ----------
    text : str
    line : int
        Of the document, from 1, that the passage begins in; its overlap comes from lines before.
    heading : str
        The headings above it, outermost first, joined by `` > ``.
    """

    text: str
    line: int
    heading: str


def passages(lines: Iterable[str], words: int = 120, overlap: int = 20, markdown: bool = True) -> Iterator[Passage]:
    """Yield the passages of a document.

    Paragraphs are joined up to `words` words and never across a heading; a paragraph that is longer is split at
    sentence ends, and a sentence that is longer between words. A block of code counts as a paragraph.

    Parameters
    ----------
    lines : iterable of str
    words : int
        The longest passage, without its overlap.
    overlap : int
        Words of the passage before that are repeated, within the same section.
    markdown : bool
        Lines that begin with ``#`` are headings.

    Examples
    --------
    >>> [passage.heading for passage in passages(["# Bread", "Rye.", "", "## Rolls", "Walnut."])]
    ['Bread', 'Bread > Rolls']
    """
    for heading, paragraphs in _sections(lines, markdown):
        taken: list[str] = []
        first = 0
        tail: list[str] = []
        count = 0
        for line, text in paragraphs:
            for sentence in _pieces(text, words):
                size = len(sentence.split())
                if taken and count + size > words:
                    yield Passage(" ".join([*tail, *taken]), first, heading)
                    tail = _tail(" ".join(taken), overlap)
                    taken, count = [], 0
                first = first if taken else line
                taken.append(sentence)
                count += size
        if taken:
            yield Passage(" ".join([*tail, *taken]), first, heading)


def _tail(text: str, overlap: int) -> list[str]:
    return text.split()[-overlap:] if overlap else []


def _sections(lines: Iterable[str], markdown: bool) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Yield the heading path and the paragraphs, each with its line, of every section that has text."""
    path: list[tuple[int, str]] = []
    paragraphs: list[tuple[int, str]] = []
    block: list[str] = []
    start, fence = 1, ""

    def close() -> None:
        if text := " ".join(" ".join(block).split()):
            paragraphs.append((start, text))
        block.clear()

    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1] == fence):
            fence = "" if fence else mark[1]
        heading = _HEADING.match(line) if markdown and not fence else None
        if heading:
            close()
            if paragraphs:
                yield " > ".join(title for _, title in path), paragraphs
                paragraphs = []
            depth = len(heading[1])
            path = [*(item for item in path if item[0] < depth), (depth, heading[2])]
        elif line.strip() or fence:
            start = start if block else number
            block.append(line)
        else:
            close()
    close()
    if paragraphs:
        yield " > ".join(title for _, title in path), paragraphs


def _pieces(text: str, words: int) -> Iterator[str]:
    """Yield a paragraph, or its sentences where it is too long, or stretches of these."""
    if len(text.split()) <= words:
        yield text
        return
    for sentence in _SENTENCE.split(text):
        tokens = sentence.split()
        for first in range(0, len(tokens), words):
            yield " ".join(tokens[first : first + words])
