"""A stand-in for an API of Prefect, which gives the answers that a test wants."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answering(ThreadingHTTPServer):
    """Gives fixed answers (status, content type, body) by path, and notes the credentials that it was sent."""

    answers: dict[str, tuple[int, str, bytes]]
    credentials: set[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.server.credentials.add(self.headers["Authorization"])
        status, kind, body = self.server.answers.get(self.path, (404, "text/plain", b""))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def answering(answers: dict[str, tuple[int, str, bytes]]) -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), _Handler) as server:
        server.answers, server.credentials = answers, set()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


HEALTHY = (200, "application/json", b"true")
VERSION = (200, "application/json", b'"3.8.8"')
