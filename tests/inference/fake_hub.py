# SPDX-License-Identifier: Apache-2.0
"""A server that speaks as much of the Hugging Face hub's protocol as astrojax uses.

    python tests/inference/fake_hub.py FOLDER

serves the files of a folder as the model `me/tiny` and prints its address.
"""

import base64
import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FakeHub(BaseHTTPRequestHandler):
    """Models as {"owner/name": {file: content}}, one commit each; "owner/closed" is private."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/models/"):
            parts = path.removeprefix("api/models/").split("/")
            files = self.server.models.get("/".join(parts[:2]))
            if files is None:
                return self.refuse(401, "RepoNotFound")
            if parts[-1] not in ("main", self.sha(files)):
                return self.refuse(404, "RevisionNotFound")
            if parts[2] == "tree":
                tree = [
                    {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                    for n, c in files.items()
                ]
                return self.answer(json.dumps(tree).encode())
            found = {"id": "/".join(parts[:2]), "sha": self.sha(files), "siblings": []}
            return self.answer(json.dumps(found).encode())
        if path.count("/") < 4:
            return self.refuse(404, "EntryNotFound")
        owner, name, _, _, file = path.split("/", 4)
        files = self.server.models[f"{owner}/{name}"]
        if file not in files:
            return self.refuse(404, "EntryNotFound")
        self.server.fetched.append(file)
        etag = {"ETag": f'"{hashlib.sha1(files[file]).hexdigest()}"'}
        self.answer(files[file], {"X-Repo-Commit": self.sha(files)} | etag)

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self.refuse(401, "")
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization', 'me')}/{asked['name']}"
            self.server.private[name] = asked.get("private") or asked.get("visibility")
            self.server.models.setdefault(name, {})
            return self.answer(json.dumps({"url": f"{self.server.url}/{name}"}).encode())
        if self.path == "/api/validate-yaml":
            return self.answer(b'{"errors": [], "warnings": []}')
        name = "/".join(self.path.split("/")[3:5])
        if "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return self.answer(json.dumps({"files": files}).encode())
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.server.models[name][line["value"]["path"]] = content
        sha = self.sha(self.server.models[name])
        done = {"commitUrl": f"{self.server.url}/{name}/commit/{sha}", "commitOid": sha}
        self.answer(json.dumps(done | {"success": True}).encode())

    def sha(self, files):
        return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()

    def refuse(self, status, code):
        self.answer(b"{}", {"X-Error-Code": code, "X-Error-Message": code}, status)

    def answer(self, content, headers=(), status=200):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


def main() -> None:
    """Serves until it is ended."""
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as server:
        files = {p.name: p.read_bytes() for p in Path(sys.argv[1]).iterdir()}
        server.models, server.private, server.fetched = {"me/tiny": files}, {}, []
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        print(server.url, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
