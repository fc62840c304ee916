"""A web server on this machine that misbehaves as asked."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler"], None]

LOGIN = b"<!DOCTYPE html><html><title>Please log in</title></html>"


class Handler(BaseHTTPRequestHandler):
    """Answers each address by the next of its behaviours; the last one stays."""

    protocol_version = "HTTP/1.1"
    behaviours: dict[str, list[Behaviour]]
    asked: list[str]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].lstrip("/")
        self.asked.append(path)
        waiting = self.behaviours.get(path)
        if waiting is None:
            status(404)(self)
            return
        (waiting.pop(0) if len(waiting) > 1 else waiting[0])(self)

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
        asked: The addresses asked for.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.behaviours: dict[str, list[Behaviour]] = {}
        self.asked: list[str] = []

    def does(self, path: str, *behaviours: Behaviour) -> str:
        """Set what happens at an address; return the address."""
        self.behaviours[path] = list(behaviours)
        return f"{self.url}/{path}"


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Run a server while the block lasts."""
    handler = type("Handler", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        server = Server(f"http://127.0.0.1:{http.server_port}")
        handler.behaviours, handler.asked = server.behaviours, server.asked
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
