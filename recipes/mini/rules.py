"""Labels by rule, for texts of any source: what a text is beside what it is about.

Each rule returns a label or ``""`` where it does not decide. They are coarse, but there are many of them, for the same
texts: a model that learns them all learns to read which one the instruction requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_QUESTION_WORDS = ["who", "whom", "whose", "what", "which", "when", "where", "why", "how"]
_ASKED = {"who", "what", "when", "where", "why", "which", "how"}
_FIRST = re.compile(r"\b(i|me|my|mine|we|us|our|ours|i'm|i've|we're)\b", re.IGNORECASE)
_SECOND = re.compile(r"\b(you|your|yours|you're)\b", re.IGNORECASE)
_THIRD = re.compile(r"\b(he|she|they|him|her|his|hers|them|their)\b", re.IGNORECASE)
_PAST = re.compile(r"\b(was|were|had|did|went|said|made|took|came|became|began|\w{3,}ed)\b", re.IGNORECASE)
_PRESENT = re.compile(r"\b(is|are|am|has|have|does|do|'s|'re)\b", re.IGNORECASE)
_FUTURE = re.compile(r"\b(will|shall|'ll|going to|won't)\b", re.IGNORECASE)
_NEGATION = re.compile(r"\b(not|no|never|none|nothing|nobody|neither|nor|without|cannot)\b|n't\b", re.IGNORECASE)
_POLITE = re.compile(r"\b(please|thank|thanks|could you|would you|kindly|sorry|appreciate)\b", re.IGNORECASE)
_RUDE = re.compile(r"\b(stupid|idiot|shut up|damn|hell|crap|sucks|dumb)\b", re.IGNORECASE)
_INFORMAL = re.compile(
    r"\b(lol|gonna|wanna|yeah|hey|ok|okay|guys|cool|awesome|dude|btw|kinda|gotta|wow|haha)\b|!{2,}|\w+n't\b|\bi'm\b",
    re.IGNORECASE,
)
_FORMAL = re.compile(
    r"\b(therefore|furthermore|moreover|however|pursuant|hereby|thus|regarding|whereas|subsequently|consequently|"
    r"demonstrate|significant|approximately|respectively|in order to)\b",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    r"^(please )?(show|find|list|get|give|tell|set|play|book|add|remove|create|print|open|make|search|turn|call|send|"
    r"return|delete|convert|copy|change|check|run|start|stop|use)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"[{};]\s*$|^\s*(def|class|import|return|select|for|if)\b.*[:(=]|[a-z_]+\([^)]*\)|[=<>]{2}|--\w")


class Rule(NamedTuple):
    """A label kind by rule: its name, words for it in instructions, and the function from a text to a label."""

    name: str
    words: tuple[str, ...]
    label: Callable[[str], str]


def form(text: str) -> str:
    """Return question, command, exclamation or statement."""
    last, first = text.rstrip()[-1:], text.split(" ", 1)[0].lower()
    if last == "?" or (first in _QUESTION_WORDS and last not in ".!"):
        return "question"
    if _COMMAND.match(text):
        return "command"
    return "exclamation" if last == "!" else "statement" if last == "." else ""


def tense(text: str) -> str:
    """Return past, present or future, where one of them has most verbs."""
    counts = {"past": len(_PAST.findall(text)), "present": len(_PRESENT.findall(text)),
              "future": 2 * len(_FUTURE.findall(text))}  # fmt: skip
    (best, most), (_, second), *_ = sorted(counts.items(), key=lambda item: -item[1])
    return best if most > second else ""


def person(text: str) -> str:
    """Return first, second or third person, where its pronouns are alone."""
    present = [name for name, rule in (("first person", _FIRST), ("second person", _SECOND), ("third person", _THIRD))
               if rule.search(text)]  # fmt: skip
    return present[0] if len(present) == 1 else ""


def length(text: str) -> str:
    """Return short, medium or long; what is between them has no label."""
    words = len(text.split())
    return "short" if words <= 6 else "medium" if 10 <= words <= 16 else "long" if words >= 25 else ""


def negation(text: str) -> str:
    """Return negated or affirmative."""
    return "" if len(text.split()) < 4 else "negated" if _NEGATION.search(text) else "affirmative"


def numbers(text: str) -> str:
    """Return whether digits occur."""
    return "with numbers" if re.search(r"\d", text) else "without numbers"


def politeness(text: str) -> str:
    """Return polite, rude, or neutral for requests."""
    if _POLITE.search(text):
        return "polite"
    return "rude" if _RUDE.search(text) else "neutral" if _COMMAND.match(text) else ""


def register(text: str) -> str:
    """Return formal or informal, where words of one of them are alone."""
    informal, formal = bool(_INFORMAL.search(text)), bool(_FORMAL.search(text))
    return "" if informal == formal else "informal" if informal else "formal"


def question_word(text: str) -> str:
    """Return the word that a question begins with."""
    first = text.split(" ", 1)[0].lower()
    return first if first in _ASKED else ""


def code(text: str) -> str:
    """Return code or natural language."""
    if _CODE.search(text):
        return "code"
    return "natural language" if text.rstrip()[-1:] in ".?!" and len(text.split()) > 4 else ""


RULES = (
    Rule("form", ("sentence form", "sentence type", "grammatical mood", "kind of sentence"), form),
    Rule("tense", ("tense", "grammatical tense", "verb tense", "time of the verbs"), tense),
    Rule("person", ("person", "grammatical person", "narrator's person", "point of view"), person),
    Rule("length", ("length", "size", "text length", "number of words"), length),
    Rule("negation", ("negation", "use of negation", "affirmative or negated form"), negation),
    Rule("numbers", ("numbers", "use of numbers", "presence of digits"), numbers),
    Rule("politeness", ("politeness", "courtesy", "level of politeness"), politeness),
    Rule("register", ("register", "formality", "style", "level of formality"), register),
    Rule("question word", ("question word", "question type", "what the question asks for"), question_word),
    Rule("code", ("language type", "kind of language", "code or prose"), code),
)
