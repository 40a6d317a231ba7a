"""A small model hub on loopback: enough of the protocol to look a model up, download, create and upload it."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        pass

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def answer(self, body):
        hub = self.server.hub
        path = unquote(urlparse(self.path).path).strip("/")
        hub.requests.append(f"{self.command} {path}")
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.reply(401, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
        if path.startswith("api/models/"):
            return self.api(path.removeprefix("api/models/"), body)
        repo, mark, rest = path.partition("/resolve/")
        file = hub.root / repo / rest.partition("/")[2]
        if not mark or not (hub.root / repo).is_dir():
            return self.reply(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
        if not file.is_file():
            return self.reply(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
        content = file.read_bytes()
        tag = hashlib.sha256(content).hexdigest()
        return self.reply(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}, body)

    def api(self, rest, body):
        repo, _, more = rest.partition("/revision/")
        repo, _, tree = repo.partition("/tree/")
        folder = self.server.hub.root / repo
        if not folder.is_dir():
            return self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
        if (more or tree) not in ("", "main", COMMIT):
            return self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [str(path.relative_to(folder)) for path in files]
        if tree:
            sizes = [path.stat().st_size for path in files]
            content = [
                {"type": "file", "path": name, "size": size, "oid": "0" * 40}
                for name, size in zip(names, sizes, strict=True)
            ]
        else:
            content = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        return self.reply(200, json.dumps(content).encode(), {"Content-Type": "application/json"}, body)

    def do_POST(self):
        hub = self.server.hub
        path = urlparse(self.path).path.strip("/")
        hub.requests.append(f"POST {path}")
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if path == "api/repos/create":
            asked = json.loads(content)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            (hub.root / name).mkdir(parents=True, exist_ok=True)
            answer = {"url": f"{hub.url}/{name}", "name": name, "id": name}
        elif path == "api/validate-yaml":
            answer = {"errors": [], "warnings": []}
        elif "/preupload/" in path:
            answer = {
                "files": [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in json.loads(content)["files"]
                ]
            }
        else:
            repo = path.removeprefix("api/models/").partition("/commit/")[0]
            for line in map(json.loads, content.splitlines()):
                if line["key"] == "file":
                    file = hub.root / repo / line["value"]["path"]
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(base64.b64decode(line["value"]["content"]))
            answer = {"success": True, "commitUrl": f"{hub.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT}
        self.reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}, True)

    def reply(self, status, content, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)


class Hub:
    """Models are folders ``root/owner/name``; `requests` lists what was asked; `token` makes everything private."""

    def __init__(self, root: Path):
        self.root = root
        self.requests = []
        self.token = None
        self.url = ""


@contextmanager
def running(root):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.hub = Hub(root)
    server.hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
