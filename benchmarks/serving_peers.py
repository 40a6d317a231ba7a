"""The servers that `serving.py` compares: `python serving_peers.py NAME PORT`.

``null``: this project's server, with a backend that returns zeros but for ones; it measures everything but the model.
``fastapi``: what one writes in ten minutes: FastAPI, uvicorn and sentence-transformers, on the same checkpoint.
"""

import sys

import numpy as np

DIMENSION = 768


class Nothing:
    """A backend that computes nothing."""

    dimension = DIMENSION
    max_tokens = None
    thread_safe = True

    def __init__(self):
        self.rows = np.random.default_rng(0).standard_normal((4096, DIMENSION)).astype(np.float32)

    def run(self, batch):
        return self.rows[: len(batch)]

    def close(self):
        pass


class NoModel:
    """An encoder of that backend, with the bundled model's tokenizer."""

    def __init__(self):
        from tokenizers import Tokenizer

        from instructor_embedding.model import hub
        from instructor_embedding.model.tokens import TextTokenizer

        folder = hub.resolve("instructor-mini")
        self.tokens = TextTokenizer(Tokenizer.from_file(str(folder / "tokenizer.json")), 512)
        self.backend = Nothing()
        self.max_seq_length = 512

    def encode(self, pairs):
        return self.backend.rows[: len(pairs)]


def null(port, server="granian"):
    from instructor_embedding.serving import server as running
    from instructor_embedding.serving.app import application
    from instructor_embedding.serving.service import Limits, Service, served

    limits = Limits()
    service = Service([served("null", NoModel(), limits)], limits)
    running.run(service, application(service), server, "127.0.0.1", port, lambda port: None)


def fastapi(port):
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    from instructor_embedding import INSTRUCTOR

    model = INSTRUCTOR(device="cpu").as_sentence_transformer()
    app = FastAPI()

    class Request(BaseModel):
        inputs: list[str]
        instruction: str = ""

    @app.post("/embed")
    def embed(request: Request) -> list[list[float]]:
        return model.encode(request.inputs, prompt=request.instruction).tolist()

    @app.get("/ready")
    def ready() -> dict:
        return {"status": "ready"}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    {"null": null, "fastapi": fastapi}[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
