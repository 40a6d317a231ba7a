"""Words that do not come back: the project is written in the field's terms.

`python tests/test_language.py [PATH ...]` prints every offending word with what to write instead.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "tests", "benchmarks", "examples", "recipes", "docs", ".github")
# LOG.md records past experiments in the words of their day; docs/cli.md repeats the help texts of src/
EXEMPT = {"LOG.md", "docs/cli.md", "tests/test_language.py"}

# Files or folders that are exempt for a while, such as during a large merge. This tuple stays empty.
PENDING: tuple[str, ...] = ()

NAMES = {
    *("found", "told", "kept", "place", "places", "part", "parts", "held", "wanted", "able", "made", "each", "given"),
    *("one", "whole", "room", "rooms", "desk", "crew"),
}
C_NAMES = NAMES - {"each", "one"} | {"turn", "turned", "soften", "narrow", "widen", "cut"}
FIELDS = {"kept"}  # of Tokenized and Window: how many tokens of a truncated text remain


@dataclass(frozen=True)
class Word:
    """A pattern that is not to be used: blanks match line breaks, `where` is a part of ``py c md``."""

    pattern: str
    instead: str
    where: str = "py c md"


WORDS = [
    Word(r"end marks?", "EOS token"),
    Word(r"(?:to|of|have|has|at) length (?:1|one)|length-1|scaled to one|scaled to length", "unit norm, L2-normalized"),
    Word(r"lay out|lays out|laid out|laying out", "pack, prepack, arrange"),
    Word(r"the way back", "backward pass"),
    Word(r"the mean takes?|that the mean|behind the mean", "is pooled, pooling"),
    Word(r"(?:go|goes|went|going) on", "resume, continue"),
    Word(r"(?<!there )(?:is|are|was|were|be) no (?!longer|more than|less than|fewer|later)\w+", "is not a"),
    Word(
        r"behind(?! (?:a|an|one|the|your|corporate) (?:\w+ )?(?:proxy|firewall|protocol|interface|balancer))", "after"
    ),
    Word(r"broken(?! (?:pipe|link))", "corrupt, truncated, invalid"),
    Word(
        r"(?:once|(?:one|two|three|four|\d+) (?!where|when|that|of|for)[a-z]+|values?|vectors?) an? "
        r"(?:row|text|batch|channel|layer|task|file|verb|page|line|token|column|call|query|step|source|model|worker|head|module|folder|format)",
        "per row, for each text",
    ),
    Word(r"(?<!as a )whole(?!-word)", "complete, entire, all of; 'whole number' is integer"),
    Word(r"rooms?", "module, space"),
    Word(r"floors?(?! division)", "layer, lower bound"),
    Word(r"the house", "the project, architecture"),
    Word(r"what holds", "guarantees"),
    Word(r"told", "reported, given"),
    Word(r"said", "reported, given, stated"),
    Word(r"asked for", "requested"),
    Word(r"wish(?:es|ed)?", "hint, request"),
    Word(r"turn|turns|turned", "transpose", "c"),
    Word(r"soften|softens|softened", "softmax"),
    Word(r"narrow|widen|narrowed|widened|narrows|widens", "to_bf16, from_bf16", "c"),
    Word(r"desks?", "workspace"),
    Word(r"crews?", "thread group, work queue"),
    Word(r"cut|cuts", "carve, split", "c"),
    Word(
        r"(?<!dot )(?<!dot-)(?<!inner )(?<!outer )(?<!scalar )(?<!tensor )(?<!matrix )(?<!Cartesian )"
        r"products?(?! (?:quantization|review|question|title|description|name|page|catalog|search|lookup)s?"
        r"| of (?:16|8)-bit)",
        "matmul, GEMM",
        "py c",
    ),
    Word(
        r"(?<!line )(?<!row )(?<!version )(?<!page )(?<!port )(?<!issue )(?<!random )(?<!point )(?<!step )numbers",
        "values, elements; figures for measurements",
    ),
    Word(r"stands? in(?! for)|stood in(?! for)|stands? (?:among|beside|at|twice)", "is in, is listed in"),
    Word(r"word for word", "verbatim, identical"),
    Word(r"without a word", "silently"),
    Word(
        r"(?<!in )(?<!in its )(?<!in their )(?<!in-)(?<!take )(?<!takes )(?<!took )(?<!decimal )"
        r"places?(?! (?:a|the|it|them|tensors|weights) )",
        "index, position, module",
    ),
    Word(r"nothing but", "only"),
    Word(r"whoever", "any caller, the thread that"),
    Word(r"by itself", "alone, on its own, automatically"),
    Word(r"as it is|as they are|as it was|as they were", "unchanged, verbatim"),
    Word(r"one another", "each other"),
    Word(r"one's own|of ones own", "your own"),
    Word(r"anew", "again"),
    Word(r"so many (?:texts|rows|items|lines|tasks|tokens|records)|first so many", "at most N"),
    Word(r"goe?s? before those", "override"),
    Word(r"(?:give|gives|gave|given|giving) (?:it |them )?back", "return, restore"),
    Word(r"file's ending|the ending \.|by (?:its|their|the) endings?", "extension"),
    Word(r"(?:say|tell|says|tells) whether", "return True if, report whether"),
    Word(r"less and less|more and more", "progressively"),
    Word(r"made by machine", "generated"),
    Word(r"for want of|in its stead|thereof|therein", "plain English"),
]
# headings that do not say what is below them
HEADINGS = Word(r"^#+ .*\b(?:smaller|what holds|the house|the way)\b", "a heading that names its subject", "md")

Offense = tuple[int, str, str]


def _compiled() -> list[tuple[re.Pattern[str], Word]]:
    """Compile the patterns: words are complete, blanks match any white space, case does not matter."""
    patterns = []
    for word in WORDS:
        before = re.match(r"(?:\(\?<!.*?\))+", word.pattern)
        head = before.group() if before else ""
        rest = word.pattern[len(head) :].replace(" ", r"\s+")
        patterns.append((re.compile(rf"{head.replace(' ', chr(92) + 's')}(?<![\w-])(?:{rest})(?![\w-])", re.I), word))
    return patterns


PATTERNS = _compiled()


def offenses_in(text: str, first: int, language: str) -> Iterator[Offense]:
    """Yield the words of a block of text, whose first line has the number `first`."""
    text = re.sub(r"``.+?``|`[^`\n]+`|https?://\S+|^\s*(?:>>>|\.\.\.).*$", blank, text, flags=re.M | re.S)
    for pattern, word in PATTERNS:
        if language in word.where.split():
            for match in pattern.finditer(text):
                yield first + text.count("\n", 0, match.start()), " ".join(match.group().split()), word.instead


def blank(match: re.Match[str]) -> str:
    """Replace code by blanks, keeping the lines."""
    return re.sub(r"[^\n]", " ", match.group())


def in_python(path: Path) -> Iterator[Offense]:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    docstrings = {id(node) for node in docstring_nodes(tree)}
    messages = path.is_relative_to(ROOT / "src") or path == ROOT / "hatch_build.py"
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            prose = node.value.count(" ") > 1 and not node.value.startswith("Represent ")
            if id(node) in docstrings or (messages and prose):
                yield from offenses_in(node.value, node.lineno, "py")
        for name in names_bound(node):
            if name.lstrip("_") in NAMES and name not in FIELDS:
                yield node.lineno, name, "the thing's own noun"
    for first, text in comment_blocks(source):
        yield from offenses_in(text, first, "py")


def docstring_nodes(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def names_bound(node: ast.AST) -> Iterator[str]:
    """Yield the names of locals, parameters, attributes, functions and classes that a node binds."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name


def comment_blocks(source: str) -> Iterator[tuple[int, str]]:
    """Yield comments, those on following lines as one text, with the number of the first line."""
    block: list[str] = []
    last = first = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0]
            if block and line == last + 1:
                block.append(token.string.lstrip("# "))
            else:
                if block:
                    yield first, "\n".join(block)
                block, first = [token.string.lstrip("# ")], line
            last = line
    if block:
        yield first, "\n".join(block)


def in_c(path: Path) -> Iterator[Offense]:
    source = path.read_text(encoding="utf-8")
    comments = r"/\*.*?\*/|//[^\n]*"
    for match in re.finditer(comments, source, re.S):
        text = re.sub(r"^\s*\*", lambda mark: " " * len(mark.group()), match.group(), flags=re.M)
        yield from offenses_in(text, 1 + source.count("\n", 0, match.start()), "c")
    code = re.sub(rf'{comments}|"(?:\\.|[^"\\])*"', blank, source, flags=re.S)
    for match in re.finditer(r"[A-Za-z_]\w*", code):
        if set(match.group().lower().split("_")) & C_NAMES:
            yield 1 + code.count("\n", 0, match.start()), match.group(), "the field's term"


def in_markdown(path: Path) -> Iterator[Offense]:
    text = re.sub(r"^(```|~~~).*?^\1", blank, path.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = re.sub(r"<!--.*?-->|\]\([^)]*\)", blank, text, flags=re.S)
    yield from offenses_in(text, 1, "md")
    for match in re.finditer(HEADINGS.pattern, text, re.I | re.M):
        yield 1 + text.count("\n", 0, match.start()), match.group(), HEADINGS.instead


def in_settings(path: Path) -> Iterator[Offense]:
    """Comments of Makefile, toml, yml and text files."""
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark = re.search(r"(?:^|\s)#\s*(.*)", text)
        if mark:
            yield from offenses_in(mark.group(1), line, "py")


READERS = {".py": in_python, ".c": in_c, ".h": in_c, ".md": in_markdown, ".cff": in_settings}
READERS |= dict.fromkeys((".toml", ".yml", ".yaml", ".txt", ""), in_settings)


def files() -> list[Path]:
    candidates = [path for path in ROOT.iterdir() if path.is_file()]
    candidates += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(path for path in candidates if path.suffix in READERS and not exempt(path))


def exempt(path: Path) -> bool:
    relative = path.relative_to(ROOT)
    hidden = any(part.startswith(".") and part != ".github" for part in relative.parts)
    return str(relative) in EXEMPT or hidden or "LICENSE" in path.name or "__pycache__" in relative.parts


def offenses(path: Path) -> list[Offense]:
    return sorted(READERS[path.suffix](path))


def test_words_do_not_come_back():
    found = []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(PENDING):
            found += [f"{name}:{line}: {word!r}: write {instead}" for line, word, instead in offenses(path)]
    assert not found, "\n".join(found)


def main(arguments: list[str]) -> None:
    """Print the offenses of the files and folders named, or of all files, and their count per file."""
    chosen = [Path(argument).resolve() for argument in arguments] or [ROOT]
    total = 0
    for path in files():
        if any(path.is_relative_to(folder) for folder in chosen):
            rows = offenses(path)
            total += len(rows)
            for line, word, instead in rows:
                print(f"{path.relative_to(ROOT)}:{line}: {word!r}: write {instead}")
    print(f"{total} words")


if __name__ == "__main__":
    main(sys.argv[1:])
