"""A web server on this machine that misbehaves as asked."""

import base64
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter

Behaviour = Callable[["Handler"], None]

LOGIN = b"<!DOCTYPE html><html><title>Please log in</title></html>"


class Handler(BaseHTTPRequestHandler):
    """Answers each address by the next of its behaviours; the last one stays."""

    protocol_version = "HTTP/1.1"
    behaviours: dict[str, list[Behaviour]]
    lengths: dict[str, int]
    asked: list[str]
    headers_sent: list[dict[str, str]]

    def do_HEAD(self) -> None:
        length = self.lengths.get(self._path())
        self.send_headers(405 if length is None else 200, length or 0)

    def do_GET(self) -> None:
        path = self._path()
        self.asked.append(path)
        self.headers_sent.append(dict(self.headers))
        waiting = self.behaviours.get(path)
        if waiting is None:
            status(404)(self)
            return
        (waiting.pop(0) if len(waiting) > 1 else waiting[0])(self)

    def _path(self) -> str:
        return unquote(self.path.partition("?")[0].lstrip("/"))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def send_headers(self, code: int, length: int, **more: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True


def sends(content: bytes, **headers: str) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.send_headers(200, len(content), **headers)
        handler.wfile.write(content)

    return behave


def parts(
    content: bytes,
    *,
    after: int | None = None,
    begin: int | None = None,
    ignores_condition: bool = False,
    **headers: str,
) -> Behaviour:
    """Send the part that is asked for, where it is one of the version of ``headers``.

    Breaks off ``after`` some bytes; begins where it was not asked to; ignores on which
    version the part was conditioned.
    """

    def behave(handler: Handler) -> None:
        asked = handler.headers.get("Range", "")
        condition = handler.headers.get("If-Range")
        matches = condition in (None, headers.get("ETag"), headers.get("Last_Modified"))
        if not asked or not (matches or ignores_condition):
            handler.send_headers(200, len(content), **headers)
            handler.wfile.write(content[:after])
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            handler.send_headers(416, 0, Content_Range=f"bytes */{len(content)}")
            return
        start = start if begin is None else begin
        rest = content[start:]
        where = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.send_headers(206, len(rest), Content_Range=where, **headers)
        handler.wfile.write(rest[:after])

    return behave


def redirects(url: str) -> Behaviour:
    return status(302, Location=url)


def wants_login(content: bytes, login: str) -> Behaviour:
    """Send content to who says ``login``, USER:PASSWORD."""
    wanted = "Basic " + base64.b64encode(login.encode()).decode()

    def behave(handler: Handler) -> None:
        is_known = handler.headers.get("Authorization") == wanted
        (sends(content) if is_known else status(401))(handler)

    return behave


def status(code: int, **headers: str) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.send_headers(code, 0, **headers)

    return behave


def truncates(content: bytes, after: int) -> Behaviour:
    """Announce all and send the beginning."""

    def behave(handler: Handler) -> None:
        handler.send_headers(200, len(content))
        handler.wfile.write(content[:after])

    return behave


def resets(content: bytes, after: int) -> Behaviour:
    """Send the beginning, then slam the connection."""

    def behave(handler: Handler) -> None:
        handler.send_headers(200, len(content))
        handler.wfile.write(content[:after])
        handler.wfile.flush()
        # Linger of no time: the kernel sends a reset, not an end.
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.connection.close()

    return behave


def endless(start: bytes, **headers: str) -> Behaviour:
    """Send 64 MB, without a length unless ``headers`` tell one."""

    def behave(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.close_connection = True
        with contextlib.suppress(OSError):  # the other side has seen enough
            handler.wfile.write(start)
            for _ in range(2**12):
                handler.wfile.write(bytes(2**14))

    return behave


def hangs(seconds: float) -> Behaviour:
    """Say nothing for a while."""

    def behave(_: Handler) -> None:
        time.sleep(seconds)

    return behave


def trickles(content: bytes, pause: float) -> Behaviour:
    """Send byte by byte."""

    def behave(handler: Handler) -> None:
        handler.send_headers(200, len(content))
        with contextlib.suppress(OSError):  # the other side has given up
            for byte in content:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(pause)

    return behave


class Server:
    """What the server does, and what it was asked.

    Attributes:
        url: Its address.
        behaviours: What to do at each address, one after the other.
        lengths: Lengths that it tells when it is asked for those alone.
        asked: The addresses asked for.
        headers_sent: With which headers, in the same order.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.behaviours: dict[str, list[Behaviour]] = {}
        self.lengths: dict[str, int] = {}
        self.asked: list[str] = []
        self.headers_sent: list[dict[str, str]] = []

    def does(self, path: str, *behaviours: Behaviour) -> str:
        """Set what happens at an address; return the address."""
        self.behaviours[path] = list(behaviours)
        return f"{self.url}/{path}"


def plays_encrypted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server play all hosts that are asked by https.

    It hears their names as "Host". What is tested is which host is told what; how it is
    encrypted is the business of others.
    """
    send = HTTPAdapter.send

    def sent(
        adapter: HTTPAdapter, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        parts = urlsplit(request.url or "")
        if parts.scheme != "https":
            return send(adapter, request, **options)
        asked = request.copy()
        asked.url = f"{server.url}{parts.path}?{parts.query}"
        asked.headers["Host"] = parts.hostname or ""
        response = send(adapter, asked, **{**options, "proxies": {}})
        response.url, response.request = request.url or "", request
        return response

    monkeypatch.setattr(HTTPAdapter, "send", sent)


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Run a server while the block lasts."""
    handler = type("Handler", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        server = Server(f"http://127.0.0.1:{http.server_port}")
        handler.behaviours, handler.asked = server.behaviours, server.asked
        handler.lengths = server.lengths
        handler.headers_sent = server.headers_sent
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
