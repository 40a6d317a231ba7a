"""/v1/embeddings and /embed: every form of input and output, and vectors equal to encode's."""

import base64

import numpy as np
import pytest

from instructor_embedding import Pair, truncated

TEXTS = ["Parton energy loss in QCD matter", "A cat.", "", "  blanks around  ", "long " * 300]
QUERY = "Represent the query for retrieving supporting documents: "
TITLE = "Represent the Science title:"


def floats(reply):
    assert reply.status_code == 200, reply.text
    return np.array([row["embedding"] for row in reply.json()["data"]], np.float32)


def bits(reply):
    assert reply.status_code == 200, reply.text
    rows = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in reply.json()["data"]]
    return np.stack(rows)


def invariant(model):
    """Return True if the backend's vectors do not depend on the batch at all."""
    pairs = [[TITLE, text] for text in TEXTS]
    alone = np.concatenate([model.encode([pair], truncate="quiet") for pair in pairs])
    return np.array_equal(model.encode(pairs, truncate="quiet"), alone)


def same(model, actual, expected):
    if invariant(model):
        np.testing.assert_array_equal(actual, expected)
    else:  # torch's kernels round differently from batch to batch
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_vectors_are_those_of_encode(server, models):
    model = models["relu"]
    reply = server.post("/v1/embeddings", input=TEXTS, instruction=TITLE, encoding_format="base64")
    same(model, bits(reply), model.encode(TEXTS, instruction=TITLE, truncate="quiet"))
    usage = reply.json()["usage"]
    kept = np.minimum(model.count_tokens(TEXTS, TITLE), model.max_seq_length)
    assert usage == {"prompt_tokens": kept.sum(), "total_tokens": kept.sum(), "truncated": 1}
    assert reply.headers["x-truncated"] == "1"
    assert reply.headers["x-instruction"] == "request"


def test_a_single_text_has_the_bits_of_encode(server, models):
    for text in TEXTS:
        reply = server.post("/v1/embeddings", input=text, instruction=TITLE, encoding_format="base64")
        np.testing.assert_array_equal(bits(reply)[0], models["relu"].encode([[TITLE, text]], truncate="quiet")[0])


def test_floats_base64_and_raw_bytes_are_the_same_vectors(server):
    body = {"input": TEXTS[:1], "instruction": TITLE}
    exact = bits(server.post("/v1/embeddings", **body, encoding_format="base64"))
    np.testing.assert_array_equal(floats(server.post("/v1/embeddings", **body)), exact)
    with server.client(headers={"accept": "application/octet-stream"}) as client:
        raw = client.post("/v1/embeddings", json=body)
    assert raw.headers["x-embedding-shape"] == f"1,{exact.shape[1]}"
    np.testing.assert_array_equal(np.frombuffer(raw.content, "<f4").reshape(exact.shape), exact)


def test_forms_of_input(server, models):
    model = models["relu"]
    for value, pairs in (
        ("a cat", [("", "a cat")]),
        (["a cat", "a dog"], [("", "a cat"), ("", "a dog")]),
        ([[TITLE, "a cat"], ["", "a dog"]], [(TITLE, "a cat"), ("", "a dog")]),
        ([[TITLE, "a cat"], "a dog"], [(TITLE, "a cat"), ("", "a dog")]),
    ):
        same(model, floats(server.post("/v1/embeddings", input=value)), model.encode([Pair(*pair) for pair in pairs]))


def test_one_instruction_per_text(server, models):
    reply = server.post("/v1/embeddings", input=["a", "b"], instruction=[TITLE, QUERY])
    same(models["relu"], floats(reply), models["relu"].encode([[TITLE, "a"], [QUERY, "b"]]))


def test_token_ids_are_the_text(server, models):
    model = models["relu"]
    ids = model.tokens.pack([Pair("", "a small cat")]).ids.tolist()
    for value in (ids, [ids], ids[:-1]):
        reply = server.post("/v1/embeddings", input=value, instruction=TITLE + " ")
        same(model, floats(reply), model.encode([[TITLE + " ", "a small cat"]]))
    assert server.post("/v1/embeddings", input=ids, instruction="").headers["x-instruction"] == "request"
    reply = server.post("/v1/embeddings", input=[10**6])
    assert reply.status_code == 422
    assert "check_embedding_ctx_length=False" in reply.json()["error"]["message"]


def test_named_instructions(server, models):
    model = models["relu"]
    for named, instruction in (
        ({"input_type": "query"}, QUERY),
        ({"input_type": "document"}, "Represent the document for retrieval: "),
        ({"prompt_name": "tickets"}, "Represent the ticket: "),
        ({"task": "manual", "input_type": "query"}, "Q: "),
        ({"task": "Banking77Classification"}, "Represent the bank purpose for classification: "),
    ):
        reply = server.post("/v1/embeddings", input=["a cat"], **named)
        same(model, floats(reply), model.encode(["a cat"], instruction=instruction))
        assert reply.headers["x-instruction"] == "request"
    listed = {(row["name"], row["side"]) for row in server.client().get("/instructions").json()}
    assert {("query", "text"), ("tickets", "text"), ("manual", "query"), ("ArguAna", "document")} <= listed


def test_the_reply_says_where_no_instruction_was(server):
    assert server.post("/v1/embeddings", input="a cat").headers["x-instruction"] == "none"


def test_dimensions(server, models):
    reply = server.post("/v1/embeddings", input=["a cat"], dimensions=16)
    same(models["relu"], floats(reply), truncated(models["relu"].encode(["a cat"]), 16))
    assert server.post("/v1/embeddings", input=["a cat"], dimensions=10**5).status_code == 422


def test_codes(server, models):
    vector = models["relu"].encode(["a cat"])[0]
    reply = server.post("/v1/embeddings", input="a cat", output_dtype="int8").json()["data"][0]
    codes = np.array(reply["embedding"])
    assert np.abs(codes).max() == 127
    assert np.abs(codes * reply["scale"] - vector).max() <= reply["scale"] / 2 + 1e-6
    bit = server.post("/v1/embeddings", input="a cat", output_dtype="binary").json()["data"][0]["embedding"]
    np.testing.assert_array_equal(np.array(bit, np.uint8), np.packbits(vector > 0))


def test_the_second_model_answers_by_name(server, models):
    reply = server.post("/v1/embeddings", input=["a cat"], model="gated")
    same(models["gated"], floats(reply), models["gated"].encode(["a cat"]))
    assert reply.json()["model"] == "gated"
    wrong = server.post("/v1/embeddings", input=["a cat"], model="gatet")
    assert wrong.status_code == 404
    assert "did you mean 'gated'" in wrong.json()["error"]["message"]


def test_truncation_can_be_refused(server):
    reply = server.post("/v1/embeddings", input=["a", TEXTS[-1]], truncation=False)
    assert reply.status_code == 413
    assert "input[1] has" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "missing required field `input`"),
        ({"input": []}, 422, "empty list"),
        ({"input": ["a"], "instrucion": "x"}, 422, "did you mean 'instruction'"),
        ({"input": ["a"], "instruction": ["x", "y"]}, 422, "instruction has 2 items and input has 1"),
        ({"input": ["a"], "instruction": "x", "input_type": "query"}, 422, "leave one of them out"),
        ({"input": ["a"], "input_type": "querry"}, 422, "did you mean 'query'"),
        ({"input": ["a"], "task": "manual", "input_type": "document"}, 422, "needs an input_type: query"),
        ({"input": ["a"], "dimensions": -1}, 422, ">= 1"),
        ({"input": ["a"], "dimensions": 0}, 422, ">= 1"),
        ({"input": [["a"]]}, 422, "[instruction, text]"),
        ({"input": ["a", 1]}, 422, "token ids among texts"),
        ({"input": ["a", [1]]}, 422, "token ids among texts"),
        ({"input": [1, "a"]}, 422, "token ids"),
        ({"input": [[]]}, 422, "not empty"),
        ({"input": ["Represent the title:", "a cat"]}, 422, "one pair that is not in a list"),
        ({"input": ["a"] * 65}, 413, "at most 64"),
        ({"input": "a", "encoding_format": "hex"}, 422, "encoding_format"),
        ({"input": "\ud800"}, 400, ""),
        ({"input": "a", "instruction": "x" * 10_001}, 422, "10000"),
    ],
)
def test_what_is_refused(server, body, status, message):
    content = __import__("json").dumps(body)
    with server.client(headers={"content-type": "application/json"}) as client:
        reply = client.post("/v1/embeddings", content=content)
    assert reply.status_code == status, reply.text
    assert message in reply.json()["error"]["message"]
    assert reply.json()["error"]["type"] == "invalid_request_error"
