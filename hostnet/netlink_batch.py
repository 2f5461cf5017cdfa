"""Thousands of requests in a few system calls, each with an answer of its own.

`Netlink.batch` is for messages that succeed together; here one that is refused does not keep the
others from being carried out. 15,000 entries (5,000 forwarding entries, neighbours and IPv6 routes)
take 0.1 s. With IPv4 routes 0.4 s, for the kernel compares each with all others of its device.
"""

from __future__ import annotations

import _socket
import errno

from hostnet.netlink import (
    _HEADER,
    _INT,
    _PADDING,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    RECEIVE_BYTES,
    NetlinkError,
    _refusal,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from hostnet.netlink import Netlink

    Message: TypeAlias = tuple[int, bytes, int]
    """Type, payload, flags: what `Netlink.request` takes."""

# The answers to one piece wait in the receive buffer until the piece is carried out. An answer
# with a sentence of the kernel's takes up to 1.3 KiB of its 208 KiB (net.core.rmem_default).
PIECE_MESSAGES = 100
# The send buffer is as large; no attribute list of ours comes near it.
PIECE_BYTES = 0x10000
_READING = "read the answers to a batch"


def send(
    nl: Netlink, messages: Sequence[Message], what: Callable[[int], str]
) -> list[NetlinkError | None]:
    """Send all messages and give for each its refusal, or None where it was carried out.

    The kernel carries them out in order. `what(i)` says in words what message `i` asks, and is
    called for refusals only. An error with `unanswered` set means that it is unknown whether this
    one was carried out. Raises NetlinkError when a piece cannot be sent at all: what came before
    it was carried out.
    """
    errors: list[NetlinkError | None] = []
    piece: list[bytes] = []
    size = 0
    for kind, payload, flags in messages:
        nl._seq = seq = nl._seq + 1
        how = flags | NLM_F_REQUEST | NLM_F_ACK
        length = len(payload) + 16
        piece.append(_HEADER.pack(length, kind, how, seq, 0) + payload + _PADDING[length & 3])
        size += length
        if len(piece) >= PIECE_MESSAGES or size >= PIECE_BYTES:
            errors += _exchange(nl, piece, len(errors), what)
            piece = []
            size = 0
    if piece:
        errors += _exchange(nl, piece, len(errors), what)
    return errors


def _exchange(
    nl: Netlink, piece: list[bytes], start: int, what: Callable[[int], str]
) -> list[NetlinkError | None]:
    """Send the messages numbered from `start` on, whose sequence numbers end with the latest."""
    first = nl._seq - len(piece) + 1
    nl._send(b"".join(piece), what(start))
    errors: list[NetlinkError | None] = [None] * len(piece)
    awaited = set(range(len(piece)))
    while awaited and (buf := _receive(nl)):
        for kind, _flags, seq, body in nl._messages(buf, _READING):
            number = seq - first
            if kind != NLMSG_ERROR or number not in awaited:
                continue
            awaited.discard(number)
            if code := -_INT.unpack_from(body)[0]:
                errors[number] = _refusal(code, what(start + number), body, piece[number])
    for number in awaited:
        errors[number] = NetlinkError(errno.ENOBUFS, what(start + number), unanswered=True)
    return errors


def _receive(nl: Netlink) -> bytes:
    """The next datagram, empty when no more is there.

    There is nothing to wait for: the kernel answers inside send(). An overrun (ENOBUFS) is told
    once, before the rest; what it cost is seen from what remains unanswered.
    """
    while True:
        try:
            return nl._sock.recv(RECEIVE_BYTES, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise NetlinkError(error.errno or errno.EIO, _READING) from error
