"""The Container Runtime Interface as kubelet speaks it: gRPC, by curl and 40 lines of protobuf.

Field numbers: k8s.io/cri-api, pkg/apis/runtime/v1/api.proto. A message is a list of (number,
value); a value is an int, a str or bytes, or a message.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TypeAlias

from tests.clients.machine import Machine

Value: TypeAlias = "int | str | bytes | Iterable[tuple[int, Value]]"
_BYTES = 2
"""Wire type of everything with a length."""


class CriError(AssertionError):
    """The runtime refused; its words."""


class Cri:
    """The runtime service behind a socket of a machine."""

    def __init__(self, machine: Machine, socket: str) -> None:
        self._machine = machine
        self._socket = socket
        self._numbers = itertools.count()

    def __call__(self, method: str, *fields: tuple[int, Value]) -> list[tuple[int, Value]]:
        """Call a method; the reply's top-level fields, unparsed. Raises CriError.

        From several threads at a time if need be.
        """
        message = encode(fields)
        files = f"/run/cri-{next(self._numbers)}"
        request, status, reply = (f"{files}-{one}" for one in ("request", "status", "reply"))
        sent = b"\0" + len(message).to_bytes(4, "big") + message
        self._machine.path(request).write_bytes(sent)
        service = "http://localhost/runtime.v1.RuntimeService/"
        self._machine.run(
            "curl", "--silent", "--show-error", "--max-time", "30", "--http2-prior-knowledge",
            "--unix-socket", self._socket, "--data-binary", f"@{request}",
            "--header", "content-type: application/grpc", "--header", "te: trailers",
            "--dump-header", status, "--output", reply, service + method,
        )  # fmt: skip
        lines = self._machine.path(status).read_text().splitlines()
        found = dict(line.partition(": ")[::2] for line in lines)
        if found["grpc-status"] != "0":
            raise CriError(f"{method}: {found.get('grpc-message')}")
        return decode(self._machine.path(reply).read_bytes()[5:])


def encode(fields: Iterable[tuple[int, Value]]) -> bytes:
    """A message's bytes."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
            continue
        if isinstance(value, str):
            data = value.encode()
        else:
            data = value if isinstance(value, bytes) else encode(value)
        out += _varint(number << 3 | _BYTES) + _varint(len(data)) + data
    return out


def decode(data: bytes) -> list[tuple[int, Value]]:
    """A message's fields, of the two wire types that the interface's replies have at the top."""
    found: list[tuple[int, Value]] = []
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, at = _read_varint(data, at)
        if tag & 7 == _BYTES:
            found.append((tag >> 3, data[at : at + number]))
            at += number
        else:
            found.append((tag >> 3, number))
    return found


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return number, at
