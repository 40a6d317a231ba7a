"""Schemathesis against the OpenAPI document, and bodies that no schema has: no 500, no hang."""

import gzip
import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
PATHS = ["/v1/embeddings", "/embed", "/embed_all", "/similarity", "/rerank", "/tokenize", "/"]
FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)


@pytest.fixture(scope="module")
def document(server):
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def test_every_operation_answers_as_documented(server, document):
    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    count = 0
    for result in document.get_all_operations():
        operation = result.ok()

        @FEW
        @given(case=operation.as_strategy())
        def answers(case):
            case.call_and_validate(checks=checks, timeout=30)

        answers()
        count += 1
    assert count == 13


DEEP = "[" * 100_000
BODIES = {
    "empty": b"",
    "not json": b"{",
    "json of another kind": b"[1, 2]",
    "null": b"null",
    "deep": DEEP.encode(),
    "deep input": ('{"input": ' + "[" * 5000 + "]" * 5000 + "}").encode(),
    "invalid utf-8": b'{"input": "\xff\xfe", "inputs": "\xff"}',
    "nan": b'{"input": NaN, "inputs": NaN}',
    "infinity": b'{"input": "a", "dimensions": Infinity, "inputs": "a"}',
    "negative dimensions": b'{"input": "a", "inputs": "a", "dimensions": -5}',
    "huge dimensions": b'{"input": "a", "inputs": "a", "dimensions": 1e400}',
    "huge integer": ('{"input": [' + "9" * 5000 + '], "inputs": [' + "9" * 5000 + "]}").encode(),
    "nul": b'{"input": "a\\u0000b", "inputs": "a\\u0000b"}',
    "half a surrogate pair": b'{"input": "\\ud800", "inputs": "\\ud800"}',
    "duplicate keys": b'{"input": "a", "input": "b", "inputs": "a", "inputs": "b"}',
    "a byte order mark": b'\xef\xbb\xbf{"input": "a", "inputs": "a"}',
    "utf-16": '{"input": "a", "inputs": "a"}'.encode("utf-16"),
    "wrong types": b'{"input": {"a": 1}, "inputs": 3.5, "query": [], "texts": "a", "instruction": 7}',
    "true": b'{"input": [true], "inputs": [true]}',
    "ten megabytes": json.dumps({"input": "word " * 2 * 10**6, "inputs": "word " * 2 * 10**6}).encode(),
    "under a megabyte": json.dumps({"input": "word " * 10**5, "inputs": ["x" * 400_000]}).encode(),
    "many texts": json.dumps({"input": ["a"] * 50_000, "inputs": ["a"] * 50_000}).encode(),
    "a long name": json.dumps({"input": "a", "inputs": "a", "model": "m" * 10**5, "prompt_name": "p" * 10**5}).encode(),
}


@pytest.mark.parametrize("path", PATHS)
def test_odd_bodies_are_refused_or_answered(server, path):
    with server.client(headers={"content-type": "application/json"}) as client:
        for name, body in BODIES.items():
            reply = client.post(path, content=body)
            assert reply.status_code < 500, (name, reply.text[:300])
            if reply.status_code != 200:
                assert reply.json()["error"], name
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-encoding": "gzip"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "application/json;;;"}, 200),
        ({"accept": "text/html"}, 200),
        ({"x-request-id": "a b\tc" + "x" * 5000}, 200),
        ({"authorization": "Basic xyz"}, 200),
    ],
)
def test_odd_headers(server, headers, status):
    body = json.dumps({"input": "a"}).encode()
    content = gzip.compress(body) if "content-encoding" in headers else body
    reply = httpx.post(
        f"{server.url}/v1/embeddings", content=content, headers={"content-type": "application/json"} | headers
    )
    assert reply.status_code == status
    assert len(reply.headers["x-request-id"]) <= 100


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
FIELDS = "input inputs model instruction prompt_name input_type task dimensions encoding_format truncation query texts"


@pytest.mark.parametrize("path", PATHS)
def test_any_json(server, path):
    with server.client() as client:

        @FEW
        @given(st.dictionaries(st.sampled_from(FIELDS.split()), JSON, max_size=5))
        def answers(body):
            reply = client.post(path, content=json.dumps(body).encode(), headers={"content-type": "application/json"})
            assert reply.status_code < 500, (body, reply.text)

        answers()
