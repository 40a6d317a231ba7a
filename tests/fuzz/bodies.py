"""Damaged request bodies: a server answers each with a status below 500, and still serves afterwards."""

import json
import random

import httpx

from tests.fuzz.mutations import changed_json, damaged
from tests.golden.make_checkpoints import golden_model

BODIES = {
    "/v1/embeddings": {"input": ["rye bread", "plum"], "model": "tiny", "encoding_format": "base64", "dimensions": 8},
    "/embed": {"inputs": ["rye bread"], "normalize": True, "truncate": True, "instruction": "Represent it: "},
    "/similarity": {"inputs": {"source_sentence": "rye", "sentences": ["bread", "plum"]}},
    "/rerank": {"query": "rye", "texts": ["bread", "plum"], "return_text": True},
    "/tokenize": {"inputs": ["rye bread"], "add_special_tokens": True},
}


def sent(client, path, data, kind):
    """Return the status of a body; once more, as clients do, where the server closed the connection that was kept."""
    try:
        return client.post(path, content=data, headers={"content-type": kind}).status_code
    except httpx.RemoteProtocolError:
        return client.post(path, content=data, headers={"content-type": kind}).status_code


def run(home, seed, until):
    """Send bodies until a time; returns counts of statuses and the failures."""
    from instructor_embedding.model.folder.write import write
    from tests.serving.running import running

    write(golden_model("relu"), home / "tiny")
    counts, failures = {}, []
    with running(home, f"tiny={home / 'tiny'}") as server, server.client() as client:
        for number in until:
            chance = random.Random(f"{seed} {number}")
            path = chance.choice(sorted(BODIES))
            data = json.dumps(BODIES[path]).encode()
            data = changed_json(data, chance) if chance.random() < 0.7 else damaged(data, chance)
            kind = chance.choice(
                ("application/json",) * 8 + ("text/plain", "application/x-www-form-urlencoded", "", "\t")
            )
            try:
                status = sent(client, path, data, kind)
            except Exception as error:
                status = type(error).__name__
            counts[str(status)] = counts.get(str(status), 0) + 1
            if not isinstance(status, int) or status >= 500:
                failures.append(f"body {number} for {path}: {status}: {data[:200]!r}")
        if server.post("/embed", inputs="rye").status_code != 200:
            failures.append("the server does not serve any more")
        if "Traceback" in server.logged():
            failures.append("the server's log has a traceback")
    return counts, failures
