"""The student's tokenizer: the WordPiece vocabulary of the teacher, so that both see the same tokens.

Then the teacher's state of each token is a target for the student's state of the same token, without any alignment of
words, and English text takes 1.30 tokens a word where a vocabulary trained on the sources took 1.51.

    python -m recipes.mini.tokenizer OUTPUT.json --teacher FOLDER
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, processors

SPECIAL = ["<pad>", "</s>", "<unk>"]  # ids 0, 1 and 2, as T5 has them
# the teacher's own marks and its unused entries, and single characters of scripts that are not Latin or Greek
_LEFT_OUT = re.compile(r"^\[(PAD|UNK|CLS|SEP|MASK|unused\d+)\]$|^(##)?[^\x00-\u03ff\u2000-\u22ff]$")


def student_tokenizer(teacher: Tokenizer) -> Tokenizer:
    """Return a tokenizer that splits texts as the teacher does, with T5's special tokens and an EOS token."""
    vocabulary = teacher.get_vocab(with_added_tokens=True)
    pieces = [piece for piece in sorted(vocabulary, key=vocabulary.__getitem__) if not _LEFT_OUT.match(piece)]
    ids = {piece: index for index, piece in enumerate([*SPECIAL, *pieces])}
    longest = json.loads(teacher.to_str())["model"].get("max_input_chars_per_word", 100)
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="<unk>", max_input_chars_per_word=longest))
    tokenizer.normalizer = teacher.normalizer
    tokenizer.pre_tokenizer = teacher.pre_tokenizer
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def to_teacher(student: Tokenizer, teacher: Tokenizer) -> NDArray[np.int64]:
    """Return the teacher's id of each id of the student; id 0, which no text contains, has that of ``[CLS]``."""
    names = {"<pad>": "[CLS]", "</s>": "[SEP]", "<unk>": "[UNK]"}
    vocabulary = teacher.get_vocab(with_added_tokens=True)
    pieces = [str(student.id_to_token(index)) for index in range(student.get_vocab_size())]
    return np.array([vocabulary[names.get(piece, piece)] for piece in pieces])


def read(folder: str) -> Tokenizer:
    """Return the tokenizer of a teacher, a folder or an id of the Hub, without padding and truncation."""
    from transformers import AutoTokenizer

    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def main() -> None:
    """Write the tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--teacher", required=True)
    arguments = parser.parse_args()
    student_tokenizer(read(arguments.teacher)).save(str(arguments.output))


if __name__ == "__main__":
    main()
