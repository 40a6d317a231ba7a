"""Very long texts are shortened before they are tokenized, where that cannot change a single token that is encoded.

The tokenizers of T5 split a text at white space first and then each word on its own, so that the tokens of a prefix
that ends before white space are the first tokens of the complete text. A prefix is used only if it has more tokens than
the model reads; a text whose words are so long, or whose characters so unknown, that it has fewer, gets a longer one.
"""

from __future__ import annotations

import json
import re
import weakref

from instructor_embedding.instruction import Pair
from instructor_embedding.model.tokens import TextTokenizer

LONG = 16  # characters per token that the first prefix allows for
_SPACE = re.compile(r"(?<=\S) ")
_splits: weakref.WeakKeyDictionary[TextTokenizer, bool] = weakref.WeakKeyDictionary()


def shortened(pair: Pair, tokens: TextTokenizer) -> Pair:
    """Return the pair with a prefix of its text that has the same tokens where the model reads them.

    Its token count before truncation is a lower bound then, above ``max_seq_length``.
    """
    most = LONG * tokens.max_length
    if len(pair.text) <= most or not splits_at_space(tokens):
        return pair
    text = pair.text.strip()
    while most < len(text):
        space = _SPACE.search(text, most)
        if space is None:
            break
        prefix = Pair(pair.instruction, text[: space.start()])
        if int(tokens.count([prefix])[0]) > tokens.max_length + 1:
            return prefix
        most = 4 * space.start()
    return Pair(pair.instruction, text)


def splits_at_space(tokens: TextTokenizer) -> bool:
    """Return True if the tokenizer splits at white space before anything else."""
    if tokens not in _splits:
        spec = json.loads(tokens.tokenizer.to_str()).get("pre_tokenizer") or {}
        steps = spec.get("pretokenizers", [spec])
        _splits[tokens] = any(
            step.get("type") in ("WhitespaceSplit", "Whitespace")
            or (step.get("type") == "Metaspace" and step.get("split", True))
            for step in steps
        )
    return _splits[tokens]
