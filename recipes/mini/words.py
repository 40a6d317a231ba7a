"""Label words in other words: synonyms from Open English WordNet, checked by the teacher's vectors.

"joy" is also "delight"; a model that is trained on the pair (joy, "joy") alone learns a name, not a meaning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from instructor_embedding.files.records import read_records
from instructor_embedding.model.packed import Float32

LEAST, MOST = 0.45, 6  # cosine of a synonym to its word, synonyms of a word
_FILE = "pairs/wordnet_synonyms.jsonl.gz"


def synonyms(words: Iterable[str], train: Path, encode: Callable[[Sequence[str]], Float32]) -> dict[str, list[str]]:
    """Return each word with its synonyms, itself first.

    WordNet lists the synonyms of every sense of a word; those of other senses than the label's are far from it and are
    left out.

    Parameters
    ----------
    words : iterable of str
    train : path
        The folder of sources.
    encode : callable
        Texts to vectors of unit norm.
    """
    own = list(dict.fromkeys(words))
    sets: dict[str, list[str]] = defaultdict(list)
    path = train / _FILE
    for _, record in read_records(path) if path.is_file() else ():
        for word in record["set"]:
            if word in own:
                sets[word] += [other for other in record["set"] if other != word]
    others = {word: list(dict.fromkeys(sets[word])) for word in own}
    texts = list(dict.fromkeys([*own, *(text for row in others.values() for text in row)]))
    index = {text: row for row, text in enumerate(texts)}
    vectors = encode(texts)
    checked: dict[str, list[str]] = {}
    for word in own:
        rows = [index[text] for text in others[word]]
        cosines = vectors[rows] @ vectors[index[word]] if rows else np.empty(0)
        order = np.argsort(-cosines)[:MOST]
        checked[word] = [word, *(others[word][column] for column in order if cosines[column] >= LEAST)]
    return checked
