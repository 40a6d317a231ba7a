"""What `encode` accepts and refuses: each case gives the documented result or one clear error that names the item."""

import traceback

import numpy as np
import pytest
import torch

from instructor_embedding import InputError, Instruction, Pair

R, T, U = "Represent the sentence: ", "the rye bread", "a plum cake"
NAN = float("nan")


class Again:
    """An iterable without a length, that can be read more than once."""

    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        yield from self.items


# input, the pairs that it means; a bare input gives one bare vector
ACCEPTED = {
    "one text": (T, [("", T)]),
    "one empty text": ("", [("", "")]),
    "one text that is an instruction": (R + T, [("", R + T)]),
    "texts": ([T, U], [("", T), ("", U)]),
    "one text in a list": ([T], [("", T)]),
    "pairs": ([[R, T], [R, U]], [(R, T), (R, U)]),
    "one pair": ([[R, T]], [(R, T)]),
    "tuples": ([(R, T), ("", U)], [(R, T), ("", U)]),
    "a tuple of lists": (([R, T], [R, U]), [(R, T), (R, U)]),
    "a tuple of tuples": (((R, T), (R, U)), [(R, T), (R, U)]),
    "a tuple of texts": ((T, U), [("", T), ("", U)]),
    "Pair": (Pair(R, T), [(R, T)]),
    "Pairs": ([Pair(R, T)], [(R, T)]),
    "a dict": ({"instruction": R, "text": T}, [(R, T)]),
    "dicts": ([{"instruction": R, "text": T}, {"text": U}], [(R, T), ("", U)]),
    "dict without a value": ([{"instruction": None, "text": T}], [("", T)]),
    "three elements": ([[R, T, 0], [R, U, "zzz"]], [(R, T), (R, U)]),
    "mixed": ([[R, T], U], [(R, T), ("", U)]),
    "mixed, text first": ([U, [R, T]], [("", U), (R, T)]),
    "array of texts": (np.array([T, U]), [("", T), ("", U)]),
    "array of pairs": (np.array([[R, T], [R, U]]), [(R, T), (R, U)]),
    "object array": (np.array([T, U], dtype=object), [("", T), ("", U)]),
    "list of arrays": ([np.array([R, T])], [(R, T)]),
    "generator": ((pair for pair in [[R, T], [R, U]]), [(R, T), (R, U)]),
    "map": (map(str.strip, [T, U]), [("", T), ("", U)]),
    "dict values": ({1: T, 2: U}.values(), [("", T), ("", U)]),
    "an Instruction": ([[Instruction("sentence"), T]], [(R, T)]),
    "numpy strings": ([np.str_(T)], [("", T)]),
    "nothing": ([], []),
    "an empty tuple": ((), []),
    "an empty generator": (iter(()), []),
    "an empty array": (np.array([], dtype=object), []),
    "blank texts": ([[R, "  \n\t "], ["", ""], [" ", " "]], [(R, "  \n\t "), ("", ""), (" ", " ")]),
    "control characters": ([[R, "bell\a null\0 del\x7f"]], [(R, "bell\a null\0 del\x7f")]),
    "unknown characters": ([[R, "猫 🔥 \U0010ffff"]], [(R, "猫 🔥 \U0010ffff")]),
    "special tokens": ([[R, "</s> <pad> <unk>"]], [(R, "</s> <pad> <unk>")]),
    "an instruction longer than the limit": ([["Represent " * 600, T]], [("Represent " * 600, T)]),
    "two texts like a pair, on purpose": (["Represent a", "b"], [("", "Represent a"), ("", "b")]),
}

# input, what the message says
REFUSED = {
    "None": (None, "sentences is None; allowed"),
    "a number": (7, "of type int: 7"),
    "a float": (7.5, "of type float"),
    "bytes": (b"text", "of type bytes"),
    "a bare pair": ([R, T], r"not in a list.*write \[\[instruction, text\]\]"),
    "a bare pair in a tuple": ((R, T), "not in a list"),
    "a set": ({T, U}, "set, which has no order"),
    "None among texts": ([T, None], r"sentences\[1\] is None"),
    "a number among texts": ([T, U, 5], r"sentences\[2\] is of type int: 5"),
    "bytes among texts": ([T, b"x"], r"sentences\[1\] is of type bytes.*decode it first"),
    "a missing value": ([T, NAN], r"sentences\[1\] is of type float: nan \(a missing value\)"),
    "one element": ([[R, T], [R]], r"sentences\[1\] is a list of 1 element; a pair is"),
    "four elements": ([[R, T, 0, 0]], r"sentences\[0\] is a list of 4 elements"),
    "no elements": ([[]], r"sentences\[0\] is a list of 0 elements"),
    "an empty tuple inside": ([()], r"sentences\[0\] is a tuple of 0 elements"),
    "nested too deep": ([[[R, T]]], r"sentences\[0\] is a list of 1 element"),
    "pairs of pairs": ([[[R, T], [R, U]]], r"the instruction of sentences\[0\] is of type list"),
    "text is a number": ([[R, 5]], r"the text of sentences\[0\] is of type int: 5"),
    "second text is a number": ([[R, T], [R, 5]], r"the text of sentences\[1\]"),
    "text is None": ([[R, None]], r"the text of sentences\[0\] is None"),
    "text is bytes": ([[R, b"abc"]], r"the text of sentences\[0\] is of type bytes"),
    "text is a list": ([[R, ["the", "quick"]]], r"the text of sentences\[0\] is of type list"),
    "text is a missing value": ([[R, NAN]], r"the text of sentences\[0\].*missing value"),
    "instruction is None": ([[None, T]], r"the instruction of sentences\[0\] is None; for no instruction write ''"),
    "instruction is a number": ([[5, T]], r"the instruction of sentences\[0\] is of type int"),
    "instruction is bytes": ([[b"x", T]], r"the instruction of sentences\[0\] is of type bytes"),
    "dict without text": ([{"instruction": R}], r"sentences\[0\] has the keys \['instruction'\]; allowed"),
    "dict with other keys": ([{"text": T, "prompt": R}], r"sentences\[0\] has the keys \['prompt', 'text'\]"),
    "dict with other keys, bare": ({"sentence": T}, r"has the keys \['sentence'\]"),
    "dict text None": ([{"text": None}], r"the text of sentences\[0\] is None"),
    "an object": ([object()], r"sentences\[0\] is of type object"),
    "an array of numbers": (np.zeros((2, 2)), r"the instruction of sentences\[0\] is of type float"),
    "a flat array of numbers": (np.zeros(2), r"sentences\[0\] is of type float"),
    "an array without dimensions": (np.array(T), "array without dimensions"),
    "a deep array": (np.full((1, 2, 2), T), r"the instruction of sentences\[0\] is of type list"),
    "a tensor": (torch.zeros(2, 2), r"the instruction of sentences\[0\] is of type float"),
    "half a surrogate pair": ([[R, "a \ud83d b"]], r"the text of sentences\[0\] holds half of a surrogate .* 2"),
    "half a surrogate in a bare text": (["fine", "\udc00"], r"sentences\[1\] holds half"),
    "half a surrogate in the instruction": ([["\ud800", T]], r"the instruction of sentences\[0\] holds half"),
    "a type": (str, "sentences is of type type"),
    "a generator of bad items": (Again(T, 3), r"sentences\[1\] is of type int"),
}

OPTIONS = {
    "batch_size zero": ({"batch_size": 0}, InputError, "batch_size must be an integer of at least 1, got 0"),
    "batch_size negative": ({"batch_size": -3}, InputError, "batch_size"),
    "batch_size a float": ({"batch_size": 2.5}, InputError, "got 2.5"),
    "batch_size a string": ({"batch_size": "32"}, InputError, "got '32'"),
    "batch_size None": ({"batch_size": None}, InputError, "got None"),
    "batch_size True": ({"batch_size": True}, InputError, "got True"),
    "output_value": ({"output_value": "sentence_embeddings"}, InputError, "did you mean 'sentence_embedding'"),
    "output_value a number": ({"output_value": 3}, InputError, "output_value=3 is unknown; known"),
    "truncate": ({"truncate": "warning"}, InputError, "did you mean 'warn'"),
    "device": ({"device": "gpu"}, InputError, "device='gpu' is unknown; this torch can use: cpu"),
    "device not here": ({"device": "cuda:7"}, InputError, "device='cuda:7' is not available"),
    "instruction a number": ({"instruction": 5}, InputError, "instruction= is of type int"),
    "instruction a list": ({"instruction": [R]}, InputError, "instruction= is of type list"),
    "unknown": ({"batchsize": 3}, TypeError, "'batchsize'; did you mean 'batch_size'"),
    "another library's": ({"prompts": R}, TypeError, "'prompts'; did you mean 'prompt"),
}


def name_last_frame(error):
    return traceback.extract_tb(error.__traceback__)[-1].filename


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(case, models):
    sentences, meaning = ACCEPTED[case]
    model = models["relu"]
    bare = isinstance(sentences, (str, Pair, dict))
    vectors = model.encode(sentences, truncate="quiet")
    assert vectors.dtype == np.float32
    assert vectors.shape == ((48,) if bare else (len(meaning), 48))
    np.testing.assert_allclose(np.linalg.norm(np.atleast_2d(vectors), axis=1)[: len(meaning)], 1, atol=1e-6)
    if meaning:
        expected = model.encode([list(pair) for pair in meaning], truncate="quiet")
        np.testing.assert_array_equal(np.atleast_2d(vectors), expected)


@pytest.mark.parametrize("output", ["sentence_embedding", "token_embeddings", None])
@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, output, models):
    sentences, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        models["relu"].encode(sentences, output_value=output)
    assert "instructor_embedding" in name_last_frame(caught.value)


@pytest.mark.parametrize("case", OPTIONS)
def test_options(case, models):
    options, kind, message = OPTIONS[case]
    with pytest.raises(kind, match=message) as caught:
        models["relu"].encode([T], **options)
    assert "instructor_embedding" in name_last_frame(caught.value)


def test_borders_that_would_mask_everything(models, monkeypatch):
    """Where the instruction's last piece merges with the text, the original gave a zero vector or crashed."""
    model = models["relu"]
    tokenizer = model.tokens.tokenizer
    words = [word.lstrip("▁") for word in tokenizer.get_vocab() if word.startswith("▁") and len(word) > 3]
    merges = 0
    for word in sorted(words):
        for cut in range(1, len(word)):
            pair = Pair(word[:cut], word[cut:])
            pieces = len(tokenizer.encode(word).ids)
            if len(tokenizer.encode(pair.instruction).ids) >= max(pieces, 3):
                merges += 1
                vector = model.encode(pair)
                assert abs(np.linalg.norm(vector) - 1) < 1e-6
                assert model.tokens.pack([pair]).skip[0] == pieces - 1
    assert merges >= 10


def test_two_texts_that_look_like_a_pair_can_be_encoded_on_purpose(models):
    assert models["relu"].encode([R, T], instruction="").shape == (2, 48)


def test_an_instruction_for_all_and_one_of_its_own_is_refused(models):
    assert models["relu"].encode([T, U], instruction=R).shape == (2, 48)
    with pytest.raises(InputError, match=r"sentences\[1\] carries an instruction of its own"):
        models["relu"].encode([T, [R, U]], instruction=R)


def test_a_table_is_refused_with_the_way_to_pass_it(models):
    class Table:
        columns = ("instruction", "text")

        def __iter__(self):
            return iter(self.columns)

    with pytest.raises(InputError, match=r"is a table; pass one column, df\['text'\].tolist\(\)"):
        models["relu"].encode(Table())


def test_there_are_enough_cases():
    assert len(ACCEPTED) + len(REFUSED) + len(OPTIONS) >= 60
