"""What a plugin does to its netlink sockets: counted, failed once, or killed at any message.

The socket's own methods are wrapped, so what happens up to that point happens in the kernel.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from hostnet.netlink import Netlink, NetlinkError


class Fault:
    """Strikes at the N-th message that is sent, or that comes back."""

    def __init__(self, method: str, at: int, strike: Callable[[], None]) -> None:
        self.method = method
        self.count = 0
        self._at = at
        self._strike = strike
        self._original: Callable[..., Any] = getattr(Netlink, method)

    def __call__(self, nl: Netlink, *args: Any) -> Any:
        self.count += 1
        if self.count == self._at and self.method == "_send":
            self._strike()
        outcome = self._original(nl, *args)
        if self.count == self._at and self.method == "_receive":
            self._strike()
        return outcome

    def struck(self) -> bool:
        return self.count >= self._at


def no_buffers() -> None:
    raise NetlinkError(errno.ENOBUFS, "test")


def with_fault(fault: Fault, act: Callable[[], object]) -> None:
    def wrapped(nl: Netlink, *args: Any) -> Any:
        return fault(nl, *args)

    setattr(Netlink, fault.method, wrapped)
    try:
        act()
    finally:
        setattr(Netlink, fault.method, fault._original)


class Meter:
    """Counts the messages, and the bytes of them, that go both ways."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[int] = []
        self.received: list[int] = []
        send: Callable[..., None] = Netlink._send
        receive: Callable[..., bytes] = Netlink._receive

        def counted_send(nl: Netlink, message: bytes, what: str) -> None:
            self.sent.append(len(message))
            send(nl, message, what)

        def counted_receive(nl: Netlink, what: str) -> bytes:
            data = receive(nl, what)
            self.received.append(len(data))
            return data

        monkeypatch.setattr(Netlink, "_send", counted_send)
        monkeypatch.setattr(Netlink, "_receive", counted_receive)

    def of(self, act: Callable[[], object]) -> tuple[list[int], list[int]]:
        self.sent.clear()
        self.received.clear()
        act()
        return self.sent.copy(), self.received.copy()
