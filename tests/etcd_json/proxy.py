"""A proxy before etcd that may act between requests, change answers, or swallow them."""

from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Callable
from types import TracebackType


def _pass(answer: bytes) -> bytes | None:
    return answer


class Proxy:
    """Passes bytes to 127.0.0.1:port of the namespace it is made in, and back.

    on_request: called before the n-th request (from 0) is passed on. on_answer: gives what is
    passed on of a piece of an answer; None closes the connection. connections: as many as there
    were; `wait_connections` waits for more.
    """

    def __init__(self, port: int) -> None:
        self.on_request: Callable[[int], None] = lambda number: None
        self.on_answer: Callable[[bytes], bytes | None] = _pass
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._requests = 0
        self._connections = 0
        self._more = threading.Condition()
        self._ears = selectors.DefaultSelector()
        self._end, self._ended = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Proxy:
        self._ears.register(self._listener, selectors.EVENT_READ)
        self._ears.register(self._end, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.write(self._ended, b"x")
        self._thread.join()
        self._listener.close()
        self._ears.close()
        os.close(self._end)
        os.close(self._ended)

    def wait_connections(self, count: int, seconds: float = 10) -> None:
        """Wait until so many connections were made."""
        with self._more:
            assert self._more.wait_for(lambda: self._connections >= count, seconds)

    def _serve(self) -> None:
        pairs: dict[socket.socket, tuple[socket.socket, bool]] = {}
        while True:
            ready = [key.fileobj for key, _ in self._ears.select()]
            if self._end in ready:
                break
            for one in ready:
                if one is self._listener:
                    self._accept(pairs)
                elif isinstance(one, socket.socket) and one in pairs:
                    self._move(one, pairs)
        for one in pairs:
            one.close()

    def _accept(self, pairs: dict[socket.socket, tuple[socket.socket, bool]]) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._port))
        except OSError:
            client.close()
            return
        pairs[client] = server, True
        pairs[server] = client, False
        for one in (client, server):
            self._ears.register(one, selectors.EVENT_READ)
        with self._more:
            self._connections += 1
            self._more.notify_all()

    def _move(
        self, source: socket.socket, pairs: dict[socket.socket, tuple[socket.socket, bool]]
    ) -> None:
        target, is_request = pairs[source]
        try:
            data: bytes | None = source.recv(1 << 16)
            if data and is_request and data.startswith(b"POST "):
                self.on_request(self._requests)
                self._requests += 1
            if data and not is_request:
                data = self.on_answer(data)
            if data:
                target.sendall(data)
        except OSError:
            data = None
        if not data:
            for one in (source, target):
                self._ears.unregister(one)
                del pairs[one]
                one.close()
