"""The small hub of tests/model, for datasets."""

import threading
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

from tests.model import small_hub


class _Handler(small_hub._Handler):
    def answer(self, body):
        self.path = self.path.replace("/api/datasets/", "/api/models/").replace("/datasets/", "/")
        return super().answer(body)


@contextmanager
def dataset_hub(root, monkeypatch):
    """Serve the folders root/owner/name as datasets, and make it the hub of this process."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.hub = small_hub.Hub(root)
    server.hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", server.hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
