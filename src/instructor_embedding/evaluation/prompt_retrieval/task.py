"""The types of Prompt Retrieval: an example, and a task with its draw, its prompt and its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Example:
    """One example or item of a task.

    Parameters
    ----------
    text : str
        What is embedded.
    prompt : str
        What the language model reads before the answer.
    answer : str
    options : tuple of str
        The answers to choose among; empty where the answer is generated.
    group : str
        The person it is from, where a task is judged per person.
    """

    text: str
    prompt: str
    answer: str
    options: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class PromptTask:
    """A task of Prompt Retrieval.

    Parameters
    ----------
    name : str
    files : tuple of str
        The files it needs in the data folder.
    draw : callable
        (folder, random) to (examples to retrieve from, items to judge).
    budget : int
        Tokens of a prompt, the item included.
    longest : int or None
        Examples of more tokens are skipped.
    at_most : int or None
        Consider this many of the most similar examples.
    writes : bool
        The answer is generated, not chosen by its likelihood.
    stop : tuple of str
        Strings that end a generated answer.
    new_tokens : int
        Limit of a generated answer.
    skip_same : bool
        Examples with cosine 1 to the item are skipped.
    """

    name: str
    files: tuple[str, ...]
    draw: Callable[[Path, Random], tuple[list[Example], list[Example]]]
    budget: int = 1000
    longest: int | None = 250
    at_most: int | None = None
    writes: bool = False
    stop: tuple[str, ...] = ()
    new_tokens: int = 0
    skip_same: bool = False

    def render(self, example: Example, answered: bool) -> str:
        """Return an example as the language model reads it, with its answer or up to it."""
        if not answered:
            return example.prompt
        return example.prompt + self.before(example.answer)

    def before(self, answer: str) -> str:
        """Return an answer with the separator from its prompt."""
        return f" {answer}" if self.writes else f"\n{answer}"

    @property
    def between(self) -> str:
        """The separator of examples."""
        return "\n\n" if self.writes else "\n\n\n"
