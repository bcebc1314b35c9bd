"""A proxy on loopback in front of an S3 server that spoils requests by a schedule: late, cut or refused."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["delay", "cut", "cut answer", "500", "503", "403"]

ANSWERS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "403": (403, "AccessDenied", "Access Denied."),
}
LATE = 1.0
"""Seconds that a delayed request waits."""


@dataclass(frozen=True)
class Request:
    """A request that came: its number from 0 on, its method and its path."""

    number: int
    method: str
    path: str


Schedule = Callable[[Request], Fault | None]


@dataclass
class Proxy:
    """Where the proxy listens, what it was asked, and the faults that it made; `schedule` may be exchanged any time.

    The request's Host header is kept, so that its signature holds: clients sign the proxy's address, and the server
    takes what the header says.
    """

    endpoint: str
    target: str
    schedule: Schedule = lambda _: None
    requests: list[Request] = field(default_factory=list)
    faults: list[tuple[Request, Fault]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    """Yield a proxy to the server at that endpoint, without faults until a schedule is set."""

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Handler.proxy = here = Proxy(f"http://127.0.0.1:{server.server_port}", target)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, *_: object) -> None:
        """Keep the terminal clean."""

    def _serve(self) -> None:
        body = self._body()
        with self.proxy.lock:
            request = Request(len(self.proxy.requests), self.command, self.path)
            self.proxy.requests.append(request)
            fault = self.proxy.schedule(request)
            if fault:
                self.proxy.faults.append((request, fault))
        if fault == "cut":
            self._cut()
        elif fault in ANSWERS:
            self._refuse(*ANSWERS[fault])
        else:
            if fault == "delay":
                time.sleep(LATE)
            with contextlib.suppress(ConnectionError):  # a client may have lost its patience
                self._forward(body, cut=fault == "cut answer")

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _serve  # noqa: N815 - names that the base class looks for

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _forward(self, body: bytes, cut: bool) -> None:
        place = urlsplit(self.proxy.target)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("transfer-encoding", "content-length", "expect", "connection"):
                    connection.putheader(name, value)
            if body or self.command in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
        except OSError:  # the server behind is down
            self._cut()
            return
        finally:
            connection.close()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        if answer.status not in (204, 304):
            self.send_header("Content-Length", length or "0")
        self.end_headers()
        if cut:
            self.wfile.write(data[: len(data) // 2])
            self._cut()
        elif self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, status: int, code: str, message: str) -> None:
        data = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
