"""A proxy before etcd's gateway: counts what passes, and loses answers."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

SECONDS = 10


class Proxy:
    """Listens while it is a context, in the namespace of the thread that makes it.

    lose: how many answers to transactions will be lost from now on. before_txn: called once, before
    the next transaction is passed on. requests: the paths that were asked for. received: bytes.
    """

    def __init__(self, url: str) -> None:
        self.upstream = url.removeprefix("http://")
        self.lose = 0
        self.before_txn: Callable[[], object] | None = None
        self.requests: list[str] = []
        self.received = 0

    def __enter__(self) -> Proxy:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                proxy._pass_on(self)

            def log_message(self, *args: object) -> None:
                """Nowhere."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if self.before_txn and handler.path.endswith("/txn"):
            act, self.before_txn = self.before_txn, None
            act()
        upstream = http.client.HTTPConnection(self.upstream, timeout=SECONDS)
        try:
            upstream.request("POST", handler.path, body)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        self.requests.append(handler.path)
        self.received += len(content)
        if self.lose and handler.path.endswith("/txn"):
            self.lose -= 1
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
