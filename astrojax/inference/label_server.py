# SPDX-License-Identifier: Apache-2.0
"""The page for labels: a server that only this machine reaches, and only with the token of its URL.

It listens on 127.0.0.1. Every request has to have the token as the first part of its path and a
Host header of this machine, so that neither another user's browser nor a web page (by DNS
rebinding) can read images or write labels; requests that write have to come from the page itself
(Origin). The page has no inline scripts and fetches nothing from elsewhere, which its
Content-Security-Policy enforces.
"""

import contextlib
import hmac
import json
import logging
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

from astrojax.errors import UserError
from astrojax.inference.labelling import Labelling
from astrojax.inference.stamp_pictures import Pictures

_AHEAD = 12  # objects whose pictures the browser fetches before they are shown
_BODY = 65536  # bytes of a request at most
_HOSTS = ("127.0.0.1", "localhost")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STATIC = {"label.js": "text/javascript", "label.css": "text/css"}


class LabelServer(ThreadingHTTPServer):
    """Serves the page of a labelling on 127.0.0.1.

    Args:
        work: The labelling.
        pictures: The images.
        port: The port; 0 for any that is free.
        title: Heading of the page.
        on_refit: Called after each fit that was asked for, e.g. to write predictions.

    Attributes:
        url: Address of the page, with its token.

    Raises:
        UserError: The port is taken.
    """

    daemon_threads = True

    def __init__(
        self,
        work: Labelling,
        pictures: Pictures,
        *,
        port: int = 0,
        title: str = "",
        on_refit: Callable[[], None] | None = None,
    ):
        self.work, self.pictures, self.title, self.on_refit = work, pictures, title, on_refit
        self.lock = threading.Lock()  # one click at a time
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"--port {port} cannot be used ({error}): give another, or 0") from None
        self.url = f"http://127.0.0.1:{self.server_address[1]}/{self.token}/"

    def page(self) -> bytes:
        """Returns the page; object names and classes are escaped."""
        import jinja2

        text = resources.files(__package__).joinpath("label.html").read_text(encoding="utf-8")
        template = jinja2.Environment(autoescape=True).from_string(text)
        return template.render(title=self.title, classes=self.work.classes).encode()

    def state(self) -> dict[str, Any]:
        """Returns what the page shows: the next objects, and numbers."""
        coming = self.work.next(_AHEAD)
        rows = [{"id": key, "row": self.work.place[key]} for key in coming]
        last = self.work.file.entries[-1] if self.work.file.entries else None
        return self.work.status() | {
            "coming": rows,
            "guess": self.work.guess(coming[0]) if coming else {},
            "last": last and {"id": last.id, "label": last.label},
        }

    def act(self, name: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """Does what a button asks for and returns the new state; None if there is no such button.

        Raises:
            UserError: What is asked for does not fit, or the file cannot be written.
        """
        with self.lock:
            if name == "label" and asked.get("label"):
                self.work.add(str(asked.get("id")), str(asked["label"]))
            elif name == "skip":
                self.work.add(str(asked.get("id")), "")
            elif name == "undo":
                self.work.undo()
            elif name == "refit":
                self.work.refit()
                if self.on_refit is not None:
                    self.on_refit()
            else:
                return None
            return self.state()


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Answers for the page, its parts, the state and the pictures."""
        path = self._path()
        if path is None:
            return
        if path == "":
            self._send(self.server.page(), "text/html; charset=utf-8")
        elif path in _STATIC:
            content = resources.files(__package__).joinpath(path).read_bytes()
            self._send(content, f"{_STATIC[path]}; charset=utf-8")
        elif path == "state":
            with self.server.lock:
                state = self.server.state()
            self._json(state)
        elif path.startswith("image/"):
            self._picture(path.removeprefix("image/").removesuffix(".png"))
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Records a click."""
        path = self._path()
        if path is None:
            return
        size = self.headers.get("Content-Length", "")
        if self.headers.get("Origin") != f"http://{self.headers['Host']}":
            return self._refuse(HTTPStatus.FORBIDDEN)
        if not size.isdecimal() or int(size) > _BODY:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            asked = json.loads(self.rfile.read(int(size)) or b"{}")
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return self._refuse(HTTPStatus.BAD_REQUEST)
        try:
            state = self.server.act(path, asked)
        except UserError as error:
            logging.warning("%s", error)
            with self.server.lock:
                return self._json(self.server.state() | {"error": str(error)}, HTTPStatus.CONFLICT)
        if state is None:
            return self._refuse(HTTPStatus.NOT_FOUND)
        self._json(state)

    def _path(self) -> str | None:
        """Returns the path after the token; None after a refusal."""
        host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host")
        _, token, *rest = self.path.partition("?")[0].split("/", 2) + [""]
        if host not in _HOSTS or not hmac.compare_digest(
            token.encode(), self.server.token.encode()
        ):
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        return rest[0]

    def _picture(self, row: str) -> None:
        ids = self.server.work.ids
        if not row.isdecimal() or int(row) >= len(ids):
            return self._refuse(HTTPStatus.NOT_FOUND)
        try:
            content = self.server.pictures.png(str(ids[int(row)]))
        except UserError as error:
            logging.warning("%s", error)
            return self._refuse(HTTPStatus.NOT_FOUND)
        self._send(content, "image/png", cache="private, max-age=3600")

    def _json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value).encode(), "application/json", status)

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True  # what the request still sends is not read
        self._send(f"{status.phrase}\n".encode(), "text/plain; charset=utf-8", status)

    def _send(
        self,
        content: bytes,
        kind: str,
        status: HTTPStatus = HTTPStatus.OK,
        cache: str = "no-store",
    ) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": cache,
            "Content-Security-Policy": _POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        with contextlib.suppress(ConnectionError):  # a browser that went on does not wait
            self.end_headers()
            self.wfile.write(content)

    def version_string(self) -> str:
        """Returns no more than the package's name."""
        return "astrojax"

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: paths have the token."""
