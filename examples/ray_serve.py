"""The server on several machines: replicas after one address, with Ray Serve.

    pip install "instructor-embed[serve]" "ray[serve]"
    python examples/ray_serve.py                       # on this machine
    RAY_ADDRESS=auto python examples/ray_serve.py      # on a cluster

Each replica has the model, the queue and all routes, the playground too; Ray routes requests and restarts replicas.
"""

import asyncio
import os
import sys

from ray import serve

MODEL = sys.argv[1] if len(sys.argv) > 1 else "instructor-mini"


@serve.deployment(
    ray_actor_options={"num_cpus": 1},
    max_ongoing_requests=256,
    autoscaling_config={"min_replicas": 1, "max_replicas": 8, "target_ongoing_requests": 16},
)
class Embeddings:
    def __init__(self, model: str) -> None:
        from instructor_embedding import INSTRUCTOR
        from instructor_embedding.serving.app import application
        from instructor_embedding.serving.service import Limits, Service, served

        limits = Limits()
        self.service = Service([served(model, INSTRUCTOR(model, device="cpu"), limits)], limits)
        self.application = application(self.service)
        self.started = None

    async def __call__(self, request):
        from starlette.responses import Response

        self.started = self.started or asyncio.ensure_future(self.service.start())
        await self.started
        sent = []

        async def send(message):
            sent.append(message)

        await self.application(request.scope, request.receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Response(b"".join(message.get("body", b"") for message in sent[1:]), sent[0]["status"], headers)


app = Embeddings.bind(MODEL)

if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ.get("PORT", "8080"))})
    serve.run(app, blocking="--once" not in sys.argv)
