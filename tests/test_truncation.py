"""One policy for long texts: the same for every output, stream, worker and command."""

import json
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from instructor_embedding import Encoder, Pair, TruncationError, TruncationWarning, Workers
from instructor_embedding.engine import native_library, pipeline
from instructor_embedding.model.packed import Packed

LONG = ["short", "word " * 3000, "also short"]
MESSAGE = r"1 of 3 texts were cut to 512 tokens .*sentences\[1\] with \d+"


def encode(output):
    return lambda model, truncate: model.encode(LONG, output_value=output, **truncate)


def stream(model, truncate):
    return list(model.encode_stream(iter(LONG), **truncate))


def in_workers(model, truncate):
    with Workers(model, ["cpu"]) as workers:
        return list(workers.encode([Pair("", text) for text in LONG], chunk=2, **truncate))


def without_torch(model, truncate):
    if not native_library.kernels():
        pytest.skip("the compiled engine is not here")
    return Encoder().encode(LONG, **truncate)


ENTRIES = {
    "vectors": encode("sentence_embedding"),
    "token states": encode("token_embeddings"),
    "features": encode(None),
    "stream": stream,
    "workers": in_workers,
    "Encoder": without_torch,
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_error(entry, models):
    with pytest.raises(TruncationError, match=r"sentences\[1\] has \d{4} tokens .*max_seq_length is 512"):
        ENTRIES[entry](models["relu"], {"truncate": "error"})


@pytest.mark.parametrize("truncate", [{}, {"truncate": "warn"}])
@pytest.mark.parametrize("entry", ENTRIES)
def test_one_warning_and_it_is_the_default(entry, truncate, models):
    with pytest.warns(TruncationWarning, match=MESSAGE) as caught:
        ENTRIES[entry](models["relu"], truncate)
    ours = [warning for warning in caught if warning.category is TruncationWarning]
    assert len(ours) == 1
    assert ours[0].filename == __file__


@pytest.mark.parametrize("entry", ENTRIES)
def test_quiet(entry, models):
    with warnings.catch_warnings():
        warnings.simplefilter("error", TruncationWarning)
        ENTRIES[entry](models["relu"], {"truncate": "quiet"})


def test_a_stream_that_is_closed_early_warns(models):
    rows = models["relu"].encode_stream(iter(LONG * 2), window=2)
    assert [next(rows).shape for _ in range(3)] == [(48,)] * 3
    with pytest.warns(TruncationWarning, match=r"of \d texts were cut"):
        rows.close()


def test_counts_travel_with_the_vectors(models):
    model = models["relu"]
    pairs = [Pair("", text) for text in LONG]
    (window,) = pipeline.encode(pairs, model.tokens, model.backend, 1024, "quiet")
    assert window.pairs == pairs
    assert window.kept.tolist() == [*model.count_tokens(LONG[:1]), 512, *model.count_tokens(LONG[2:])]
    assert (window.full > window.kept).tolist() == [False, True, False]


@pytest.mark.parametrize("truncate", ["warn", "error", "quiet"])
def test_command_line(truncate, folders, tmp_path):
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in LONG))
    command = [sys.executable, "-m", "instructor_embedding", "encode", str(tmp_path / "texts.jsonl")]
    command += ["-m", str(folders["relu"]), "-o", str(tmp_path / "out.npy"), "--truncate", truncate]
    done = subprocess.run(command, capture_output=True, text=True)
    if truncate == "error":
        assert done.returncode == 2
        assert "sentences[1] has" in done.stderr
        assert not (tmp_path / "out.npy").exists()
    else:
        assert done.returncode == 0
        assert "1 truncated" in done.stderr
        assert np.load(tmp_path / "out.npy").shape == (3, 48)


def test_two_stages_make_the_path(models):
    """What a queue does: requests tokenized apart, joined, run once."""
    model = models["relu"]
    requests = [[Pair("", "a cat"), Pair("Represent it: ", "a dog"), Pair("", "a cat")], [Pair("", "a bird")]]
    batches = [pipeline.tokenize(request, model.tokens, "quiet") for request in requests]
    vectors = pipeline.run(model.backend, Packed.join([batch.packed for batch in batches]), 64)
    first = vectors[: len(batches[0].packed)][batches[0].index]
    expected = model.encode([*requests[0], *requests[1]])
    np.testing.assert_allclose(np.concatenate([first, vectors[len(batches[0].packed) :]]), expected, atol=1e-6)


def test_join_and_take():
    batches = [Packed.of([[5, 1], [6, 7, 1]], [0, 1], [2, 9]), Packed.of([], []), Packed.of([[1]], [0])]
    joined = Packed.join(batches)
    assert (joined.ids.tolist(), joined.starts.tolist()) == ([5, 1, 6, 7, 1, 1], [0, 2, 5, 6])
    assert (joined.skip.tolist(), joined.full.tolist()) == ([0, 1, 0], [2, 9, 1])
    assert joined.take(np.array([2, 1])).ids.tolist() == [1, 6, 7, 1]
    assert len(Packed.join([])) == 0


@pytest.mark.parametrize("text", ["word " * 40_000, "x" * 60_000, "猫 " * 30_000, "a b  c\tdé\u0301 \u0301f " * 9_000])
def test_very_long_texts_have_the_tokens_of_the_complete_text(text, models):
    tokens = models["relu"].tokens
    pairs = [Pair("Represent the text: ", text), Pair("", "short")]
    batch = tokens.pack(pairs)
    complete = tokens.tokenizer.encode((pairs[0].instruction + text.strip()).strip()).ids
    assert batch.ids[: batch.lengths[0]].tolist() == complete[:511] + complete[-1:]
    assert batch.full[0] > 512
    assert int(tokens.count(pairs)[0]) == len(complete)


def test_very_long_texts_take_little_time(models):
    tokens = models["relu"].tokens
    text = " ".join(f"word{number}" for number in range(40_000))
    start = time.perf_counter()
    tokens.pack([Pair("", f"{number} {text}") for number in range(4)])
    short = time.perf_counter() - start
    start = time.perf_counter()
    tokens.count([Pair("", f"{number} {text}") for number in range(4)])
    assert short < (time.perf_counter() - start) / 4
