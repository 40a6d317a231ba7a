"""The routes of text-embeddings-inference, and what the server says of its own."""

import numpy as np

from instructor_embedding import Pair
from tests.serving.running import running

TITLE = "Represent the Science title: "


def test_embed(server, models):
    model = models["relu"]
    reply = server.post("/embed", inputs=["a cat", "a dog"], instruction=TITLE)
    np.testing.assert_allclose(reply.json(), model.encode(["a cat", "a dog"], instruction=TITLE), atol=1e-6)
    assert reply.headers["x-instruction"] == "request"
    np.testing.assert_allclose(server.post("/", inputs="a cat").json(), model.encode(["a cat"]), atol=1e-6)
    assert len(server.post("/embed", inputs="a cat", dimensions=8).json()[0]) == 8


def test_embed_all(server, models):
    states = models["relu"].encode(["a cat", "two dogs"], instruction=TITLE, output_value="token_embeddings")
    rows = server.post("/embed_all", inputs=["a cat", "two dogs"], instruction=TITLE).json()
    for row, expected in zip(rows, states, strict=True):
        np.testing.assert_allclose(row, expected.numpy(), atol=1e-4)


def test_similarity_and_rerank_are_cosines(server, models):
    model = models["relu"]
    reply = server.post("/similarity", inputs={"source_sentence": "a cat", "sentences": ["a dog", "a car"]})
    rows = model.encode(["a cat", "a dog", "a car"])
    np.testing.assert_allclose(reply.json(), rows[1:] @ rows[0], atol=1e-5)
    assert reply.headers["x-score"] == "cosine"
    ranked = server.post("/rerank", query="a cat", texts=["a dog", "a car", "cats"], return_text=True).json()
    assert sorted(rank["index"] for rank in ranked) == [0, 1, 2]
    assert [rank["score"] for rank in ranked] == sorted((rank["score"] for rank in ranked), reverse=True)
    assert ranked[0]["text"] == ["a dog", "a car", "cats"][ranked[0]["index"]]
    named = model.encode([["Represent the query for retrieving supporting documents: ", "a cat"]])[0]
    documents = model.encode(["a dog", "a car", "cats"], instruction="Represent the document for retrieval: ")
    by_index = {rank["index"]: rank["score"] for rank in ranked}
    np.testing.assert_allclose([by_index[n] for n in range(3)], documents @ named, atol=1e-5)


def test_rerank_names_what_it_refuses(server):
    reply = server.post("/rerank", query="a cat", texts=["a dog"] * 64)
    assert reply.status_code == 413
    assert "texts has 65 texts, at most 64" in reply.json()["error"]


def test_rerank_where_a_side_has_several_instructions(folders, tmp_path):
    table = tmp_path / "names.toml"
    table.write_text('[instructions.query]\nquery = "Q: "\ndocument = "D: "\n')
    with running(tmp_path, folders["relu"], "--instructions", table, "--log", "off") as server:
        reply = server.post("/rerank", query="a cat", texts=["a dog"])
        assert reply.status_code == 422
        assert "needs an input_type" in reply.json()["error"]
        assert server.post("/rerank", query="a cat", texts=["a dog"], query_instruction="Q: ").status_code == 200


def test_tokenize(server, models):
    tokens = server.post("/tokenize", inputs="a cat", instruction=TITLE).json()[0]
    assert [token["id"] for token in tokens] == models["relu"].tokens.pack([Pair(TITLE, "a cat")]).ids.tolist()
    assert tokens[-1] == {**tokens[-1], "special": True, "start": None, "stop": None}
    bare = server.post("/tokenize", inputs="a cat", add_special_tokens=False).json()[0]
    assert [("a cat")[token["start"] : token["stop"]].strip() for token in bare if token["stop"]][-1] != ""


def test_left_truncation_is_refused(server):
    reply = server.post("/embed", inputs="a", truncation_direction="Left")
    assert reply.status_code == 422
    assert reply.json() == {"error": reply.json()["error"], "error_type": "Validation"}


def test_what_the_server_says_of_its_own(server):
    with server.client() as client:
        info = client.get("/info").json()
        assert info["max_client_batch_size"] == 64
        assert [model["id"] for model in info["models"]] == ["tiny", "gated"]
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/ready").status_code == 200
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["tiny", "gated"]
        server.post("/embed", inputs=["a"])
        metrics = client.get("/metrics").text
        for name in ("te_request_count{", "te_queue_size ", "te_batch_next_tokens_bucket{", "instructor_tokens_total "):
            assert f"\n{name}" in metrics
        missing = client.get("/nothing")
        assert missing.status_code == 404
        assert "POST /embed" in missing.json()["error"]
        assert client.get("/embed").status_code == 405


def test_the_page_and_its_headers(server):
    with server.client() as client:
        page = client.get("/")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert client.get("/", headers={"if-none-match": page.headers["etag"]}).status_code == 304
        assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"
        for path in ("/page/main.js", "/page/colors.css"):
            assert client.get(path).status_code == 200
        for path in ("/page/../app.py", "/page/%2e%2e/app.py", "/page/", "/page/x.js"):
            assert client.get(path).status_code == 404


def test_texts_are_not_logged(server):
    server.post("/embed", inputs="a very secret text", instruction="Represent the secret: ")
    server.post("/embed", inputs="a very secret text", instrucion="secret")
    log = server.logged()
    assert "path=/embed" in log
    assert "secret" not in log
