"""The clients that people have: openai, LangChain, huggingface_hub, curl; each against a real server."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parent.parent.parent / "docs" / "serving.md"
TITLE = "Represent the Science title: "


def test_openai(server, models):
    openai = pytest.importorskip("openai", reason="openai is not installed")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    expected = models["relu"].encode(["a cat", "a dog"], instruction=TITLE)
    for extra in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        reply = client.embeddings.create(
            model="tiny", input=["a cat", "a dog"], extra_body={"instruction": TITLE}, **extra
        )
        np.testing.assert_allclose([_floats(row.embedding) for row in reply.data], expected, atol=1e-6)
    assert reply.usage.total_tokens > 0
    assert [model.id for model in client.models.list().data] == ["tiny", "gated"]
    assert len(client.embeddings.create(model="tiny", input="a cat", dimensions=8).data[0].embedding) == 8
    with pytest.raises(openai.NotFoundError, match="known: tiny, gated"):
        client.embeddings.create(model="text-embedding-3-small", input="a cat")
    with pytest.raises(openai.UnprocessableEntityError, match="empty list"):
        client.embeddings.create(model="tiny", input=[])


def _floats(value):
    import base64

    return np.frombuffer(base64.b64decode(value), "<f4") if isinstance(value, str) else value


def test_langchain(server, models):
    library = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    options = {"base_url": f"{server.url}/v1", "api_key": "none", "check_embedding_ctx_length": False, "model": "tiny"}
    documents = library.OpenAIEmbeddings(**options, model_kwargs={"extra_body": {"input_type": "document"}})
    queries = library.OpenAIEmbeddings(**options, model_kwargs={"extra_body": {"input_type": "query"}})
    model = models["relu"]
    expected = model.encode(["a cat", "a dog"], instruction="Represent the document for retrieval: ")
    np.testing.assert_allclose(documents.embed_documents(["a cat", "a dog"]), expected, atol=1e-6)
    expected = model.encode(["a cat"], instruction="Represent the query for retrieving supporting documents: ")[0]
    np.testing.assert_allclose(queries.embed_query("a cat"), expected, atol=1e-6)


def test_huggingface_hub(server, models):
    library = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    for address in (server.url, f"{server.url}/embed"):
        client = library.InferenceClient(model=address)
        vectors = client.feature_extraction("a cat", prompt_name="query", truncate=True, normalize=True)
        expected = models["relu"].encode([["Represent the query for retrieving supporting documents: ", "a cat"]])
        np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_curl_as_the_server_prints_it(server, models):
    body = json.dumps({"input": "Parton energy loss in QCD matter", "instruction": TITLE})
    done = _curl(f"curl -sf {server.url}/v1/embeddings -H 'content-type: application/json' -d '{body}'")
    vector = json.loads(done)["data"][0]["embedding"]
    np.testing.assert_allclose(
        vector, models["relu"].encode([[TITLE, "Parton energy loss in QCD matter"]])[0], atol=1e-6
    )


def test_curl_as_documented(server):
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.S | re.M)
    calls = [call for block in blocks for call in re.findall(r"^curl (?:.*\\\n)*.*$", block, re.M)]
    assert len(calls) >= 8
    for call in calls:
        local = call.replace("http://127.0.0.1:8080", server.url).replace("instructor-mini", "tiny")
        output = _curl(local.replace("curl ", "curl -sf ", 1))
        assert output, call


def _curl(command):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    return subprocess.run(shlex.split(command.replace("\\\n", " ")), capture_output=True, check=True).stdout
