"""Hugging Face's HTTP interface as its documentation describes it, with repositories in memory."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

COMMIT = "0" * 40
TOKEN = "hf_of_the_owner"


class FakeHub(ThreadingHTTPServer):
    """A hub at ``endpoint``; only ``TOKEN`` may write.

    Attributes:
        repositories: By ``OWNER/NAME``, files by name.
        refused_commits: How many commits it still refuses.
        asked: Method and name of each file that somebody asked for.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = {}
        self.refused_commits = 0
        self.asked = []
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self._send_file(with_content=False)

    def do_GET(self):
        address = urlsplit(self.path)
        if address.path != "/api/models":
            self._send_file(with_content=True)
            return
        asked = parse_qs(address.query)
        owner, tag = asked["author"][0], asked["filter"][0]
        found = [
            {"id": name, "tags": [tag]}
            for name, files in self.server.repositories.items()
            if name.startswith(f"{owner}/") and f"- {tag}\n" in files["README.md"].decode()
        ]
        self._send(200, json.dumps(found).encode())

    def do_DELETE(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        del self.server.repositories[f"{asked['organization']}/{asked['name']}"]
        self._send(200, b"{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        path = urlsplit(self.path).path.strip("/").split("/")
        if path == ["api", "validate-yaml"]:
            self._send(200, b'{"warnings": [], "errors": []}')
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "Invalid username or password.")
        elif path == ["api", "repos", "create"]:
            self._create(json.loads(body))
        elif path[-2] == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [
                {"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names
            ]
            self._send(200, json.dumps({"files": modes}).encode())
        elif self.server.refused_commits:
            self.server.refused_commits -= 1
            self._refuse(507, "The disk is full.")
        else:
            self._commit("/".join(path[2:4]), [json.loads(line) for line in body.splitlines()])

    def _create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.repositories:
            self._refuse(409, "You already created this model repo")
            return
        self.server.repositories[name] = {}
        url = f"{self.server.endpoint}/{name}"
        self._send(200, json.dumps({"url": url, "id": name, "name": name}).encode())

    def _commit(self, name, lines):
        files = [line["value"] for line in lines if line["key"] == "file"]
        for file in files:
            self.server.repositories[name][file["path"]] = base64.b64decode(file["content"])
        answer = {
            "success": True,
            "commitOid": COMMIT,
            "commitUrl": f"{self.server.endpoint}/{name}/commit/{COMMIT}",
            "hookOutput": "",
        }
        self._send(200, json.dumps(answer).encode())

    def _send_file(self, *, with_content):
        owner, name, resolve, _, file = (*urlsplit(self.path).path.split("/")[1:], *"    ")[:5]
        self.server.asked.append((self.command, file))
        content = self.server.repositories.get(f"{owner}/{name}", {}).get(file)
        if content is None or resolve != "resolve":
            self._refuse(404, "Repository not found", code="RepoNotFound")
            return
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        self._send(200, content, headers, with_content=with_content)

    def _refuse(self, status, message, code=""):
        headers = {"X-Error-Message": message, "X-Error-Code": code}
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(self, status, content, headers=None, *, with_content=True):
        self.send_response(status)
        headers = {"Content-Type": "application/json", **(headers or {})}
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_content and self.command != "HEAD":
            self.wfile.write(content)
