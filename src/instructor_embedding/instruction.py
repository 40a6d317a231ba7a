"""Instructions and pairs: the only module that accepts what users write.

Everywhere else in the package a text comes as a `Pair`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError

# What documents and questions get where no instruction is given.
DOCUMENTS = "Represent the document for retrieval: "
QUERIES = "Represent the question for retrieving supporting documents: "

# The endings found in published instructions, the usual one first.
ENDINGS = (": ", ":", "; ", ";", "; Input: ", ", ", " ", "")

_TEMPLATE = re.compile(
    r"represent the (?P<what>[^\s:;,].*?)(?: for (?P<objective>.+?))?(?P<ending>; Input: |[:;,]? ?)", re.I
)
_ALLOWED = (
    "allowed: a text; a list of texts; a list of [instruction, text] pairs (lists, tuples or Pair); "
    "a list of {'instruction': ..., 'text': ...}; arrays and generators of these"
)


class Pair(NamedTuple):
    """A text with its instruction: the only form of input inside the package.

    Use it where a list of two strings would be ambiguous.

    Examples
    --------
    >>> Pair("Represent the Science title: ", "Parton energy loss in QCD matter").text
    'Parton energy loss in QCD matter'
    """

    instruction: str
    text: str


@dataclass(frozen=True)
class Instruction:
    """The unified template ``Represent the [domain] text_type [for objective]:`` (paper, section 2.2).

    Use it to write instructions as the model was trained on them; ``str()`` gives the string to pass to `encode`,
    and every function that takes an instruction takes this object too.

    Parameters
    ----------
    text_type : str
        What the texts are: ``"question"``, ``"title"``, ``"document"``. Required.
    domain : str
        Where they come from: ``"Wikipedia"``, ``"Science"``. Optional.
    objective : str
        What the vectors are for: ``"retrieving supporting documents"``. Optional, written without ``for``.
    ending : str
        One of ``ENDINGS``. With the usual ``": "`` the text begins a new word; with ``":"`` its first word is
        glued to the colon, which gives other vectors.

    Raises
    ------
    InputError
        A part is not text, holds a line break or doubles a word of the template.

    Examples
    --------
    >>> str(Instruction("question", "Wikipedia", "retrieving supporting documents"))
    'Represent the Wikipedia question for retrieving supporting documents: '
    >>> Instruction.parse("Represent the Science title:")
    Instruction(text_type='title', domain='Science', objective='', ending=':')
    """

    text_type: str
    domain: str = ""
    objective: str = ""
    ending: str = ": "

    def __post_init__(self) -> None:
        for name in ("text_type", "domain", "objective"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise InputError(f"Instruction: {name} must be a string, got {type(value).__name__} {value!r}")
            if value != " ".join(value.split()):
                raise InputError(f"Instruction: {name}={value!r} has blanks at an end, doubled blanks or line breaks")
        if not self.text_type:
            raise InputError("Instruction: text_type is required, such as 'sentence', 'question' or 'document'")
        first, _, rest = self.objective.partition(" ")
        if first.lower() == "for" and rest:
            raise InputError(f"Instruction: write the objective without 'for': objective={rest!r}")
        for name in ("text_type", "domain"):
            if getattr(self, name).lower().startswith(("represent ", "the ")):
                raise InputError(f"Instruction: {name}={getattr(self, name)!r} repeats a word of the template")
        if self.ending not in ENDINGS:
            raise InputError(f"Instruction: ending={self.ending!r} is none of {', '.join(map(repr, ENDINGS))}")

    def __str__(self) -> str:
        """Return the instruction as the model reads it."""
        what = f"{self.domain} {self.text_type}" if self.domain else self.text_type
        objective = f" for {self.objective}" if self.objective else ""
        return f"Represent the {what}{objective}{self.ending}"

    @classmethod
    def parse(cls, instruction: str) -> Instruction:
        """Take an instruction apart; ``str()`` of the result is the same string.

        The last word before ``for`` is taken as the text type and the words before it as the domain.

        Raises
        ------
        InputError
            The string does not follow the template.
        """
        if not isinstance(instruction, str):
            raise InputError(f"Instruction.parse takes a string, got {type(instruction).__name__}")
        match = _TEMPLATE.fullmatch(instruction)
        if match is None:
            raise InputError(
                f"{instruction!r} does not follow the template 'Represent the [domain] text_type [for objective]:', "
                "such as 'Represent the Science title:'; encode() takes it all the same"
            )
        domain, _, text_type = match["what"].rpartition(" ")
        return cls(text_type, domain, match["objective"] or "", match["ending"])


def as_pairs(
    sentences: Any, instruction: str | Instruction | None = None, default: str | Instruction | None = None
) -> list[Pair]:
    """Turn every form of input that users write into a list of `Pair`.

    `is_single` reports whether the input is one text or a collection.

    Parameters
    ----------
    sentences : str, Pair, dict or iterable
        A text; a list of texts; a list of [instruction, text] pairs (lists, tuples, `Pair`; a third element is
        ignored, as evaluation lists carry one); a list of dicts with the keys instruction and text; arrays and
        generators of these. Texts without an instruction may be mixed with pairs.
    instruction : str or Instruction, optional
        The instruction of every text; one that comes with an instruction of its own is refused. ``""`` says that there
        is none on purpose.
    default : str or Instruction, optional
        The instruction of texts that have none of their own, where `instruction` is not given.

    Returns
    -------
    list of Pair

    Raises
    ------
    InputError
        With the index of the item that is not allowed.

    Examples
    --------
    >>> as_pairs(["a cat", ["Represent the Science title:", "QCD"]])
    [Pair(instruction='', text='a cat'), Pair(instruction='Represent the Science title:', text='QCD')]
    >>> as_pairs("a cat", instruction=Instruction("sentence"))
    [Pair(instruction='Represent the sentence: ', text='a cat')]
    """
    if is_single(sentences):
        return list(iter_pairs([sentences], instruction, default))
    if instruction is None and default is None and isinstance(sentences, (list, tuple)):
        _refuse_unnested(sentences)
    return list(iter_pairs(sentences, instruction, default))


def is_single(sentences: Any) -> bool:
    """Return whether `sentences` is one item (a text, a `Pair`, a dict), so that one bare vector is returned."""
    return isinstance(sentences, (str, Pair, Mapping))


def iter_pairs(
    sentences: Any, instruction: str | Instruction | None = None, default: str | Instruction | None = None
) -> Iterator[Pair]:
    """Yield a `Pair` for each item of an iterable, one at a time; see `as_pairs` for the forms and errors."""
    common = "" if default is None else _text(default, "default_instruction")
    common = common if instruction is None else _text(instruction, "instruction=")
    for index, item in enumerate(_items(sentences)):
        where = f"sentences[{index}]"
        if isinstance(item, str):
            yield Pair(common, _text(item, where))
            continue
        own, text = _split(item, where)
        if own is None:
            yield Pair(common, _text(text, f"the text of {where}"))
        elif instruction is not None and common:
            raise InputError(
                f"{where} carries an instruction of its own and instruction= was given too; leave one of them out"
            )
        else:
            yield Pair(_text(own, f"the instruction of {where}"), _text(text, f"the text of {where}"))


def _items(sentences: Any) -> Iterable[Any]:
    """Return something to loop over, or refuse what has no order or is not a collection of texts."""
    if isinstance(sentences, (set, frozenset)):
        raise InputError("sentences is a set, which has no order; use a list")
    if hasattr(sentences, "columns"):
        raise InputError(
            "sentences is a table; pass one column, df['text'].tolist(), or two, df[['instruction', 'text']].to_numpy()"
        )
    if isinstance(sentences, (bytes, bytearray, memoryview)) or not isinstance(sentences, Iterable):
        raise InputError(f"sentences is {_kind(sentences)}; {_ALLOWED}")
    if getattr(sentences, "ndim", 1) == 0:
        raise InputError(f"sentences is an array without dimensions; {_ALLOWED}")
    return sentences


def _refuse_unnested(sentences: list[Any] | tuple[Any, ...]) -> None:
    """Refuse ``["Represent ...:", text]``, which the original silently read as two texts."""
    if len(sentences) != 2 or not all(isinstance(item, str) for item in sentences):
        return
    first, second = (item.strip().lower() for item in sentences)
    if first.startswith("represent ") and first.endswith((":", ";")) and not second.startswith("represent "):
        raise InputError(
            f"sentences looks like one pair that is not in a list: {list(sentences)!r}; "
            "write [[instruction, text]] for one pair, or pass instruction='' for two texts; "
            "where another library calls encode, set model.default_instruction = '' first"
        )


def _split(item: Any, where: str) -> tuple[Any, Any]:
    """Take a pair apart into (instruction or None, text)."""
    if isinstance(item, Mapping):
        unknown = [key for key in item if key not in ("instruction", "text")]
        if unknown or "text" not in item:
            raise InputError(f"{where} has the keys {sorted(map(str, item))}; allowed: 'text' and 'instruction'")
        return item.get("instruction"), item["text"]
    if hasattr(item, "tolist"):
        item = item.tolist()
    if isinstance(item, (list, tuple)):
        if len(item) in (2, 3):
            return _checked(item[0], where), item[1]
        count = f"{len(item)} element{'' if len(item) == 1 else 's'}"
        raise InputError(f"{where} is a {type(item).__name__} of {count}; a pair is [instruction, text]")
    raise InputError(f"{where} is {_kind(item)}; {_ALLOWED}")


def _checked(instruction: Any, where: str) -> Any:
    """Refuse None as the instruction of a pair, where it is more likely a mistake than intended."""
    if instruction is None:
        raise InputError(f"the instruction of {where} is None; for no instruction write ''")
    return instruction


def _text(value: Any, where: str) -> str:
    """Return `value` as a plain string that can be written as UTF-8, or say what it is."""
    if isinstance(value, Instruction):
        return str(value)
    if not isinstance(value, str):
        raise InputError(f"{where} is {_kind(value)}; it must be a string")
    text: str = str.__str__(value)  # the characters themselves: a subclass may print otherwise
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"{where} holds half of a surrogate pair at character {error.start}, which is not text; "
                "repair it with text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
            ) from None
    return text


def _kind(value: Any) -> str:
    """Describe a value that is not a text: its type, a short form and, where one is likely, the cause."""
    if value is None:
        return "None"
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    hint = ""
    if isinstance(value, (bytes, bytearray)):
        hint = " (decode it first: value.decode('utf-8'))"
    elif isinstance(value, float) and value != value:
        hint = " (a missing value)"
    return f"of type {type(value).__name__}: {shown}{hint}"


def instructions(instruction: str | Instruction, query_instruction: str | Instruction | None = None) -> tuple[str, str]:
    """Return the instruction of stored texts and that of queries, which is the same unless one is given."""
    document = str(instruction)
    if query_instruction is None:
        return document, QUERIES if document == DOCUMENTS else document
    return document, str(query_instruction)
