"""Hear the kernel's announcements: wait until something in a namespace is so, or watch it for long.

Not part of `netlink.Netlink`, where an announcement could be taken for an answer.
"""

from __future__ import annotations

import _socket
import errno
import struct
import time

from hostnet.netlink import NETLINK_ROUTE, NLMSG_MIN_TYPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TypeVar

    T = TypeVar("T")

# <linux/rtnetlink.h>
RTNLGRP_LINK = 1
RTNLGRP_NEIGH = 3
RTNLGRP_IPV4_IFADDR = 5
RTNLGRP_IPV4_ROUTE = 7
RTNLGRP_IPV6_IFADDR = 9
RTNLGRP_IPV6_ROUTE = 11

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>
_RECEIVE_BYTES = 0x10000
# So many that whoever watches has turns for other things in a storm of them.
_DATAGRAMS_AT_ONCE = 500
_HEADER = struct.Struct("=IHHII")


class Heard:
    """What was announced since the last time: (message type, payload) pairs in order.

    `lost` says that there was more than the socket holds, so that the state is to be asked for.
    """

    __slots__ = ("lost", "messages")

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes]] = []
        self.lost = False

    def __repr__(self) -> str:
        return f"<Heard {[kind for kind, _payload in self.messages]} lost={self.lost}>"

    def __bool__(self) -> bool:
        """Whether there was anything."""
        return self.lost or bool(self.messages)


class Monitor:
    """Hears the announcements of some groups in the namespace where the calling thread is now.

    `until` waits for one thing. For a loop that waits for several, give this object to poll(): it
    is readable when something was announced, and `take` tells what.
    """

    __slots__ = ("_sock",)

    def __init__(self, *groups: int, protocol: int = NETLINK_ROUTE, room: int = 0) -> None:
        """room: bytes for what has not been taken yet, 0 for the kernel's choice."""
        self._sock = _socket.socket(
            _socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol
        )
        if room:
            self._sock.setsockopt(_socket.SOL_SOCKET, _SO_RCVBUFFORCE, room)
        self._sock.bind((0, 0))
        for group in groups:
            self._sock.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def until(self, check: Callable[[], T | None], seconds: float, what: str) -> T:
        """Call `check` now and after every announcement until it gives something.

        Asking for the state, not trusting what was announced, makes it no matter when one gets
        lost. Raises TimeoutError ("`what` has not happened within 2 s").
        """
        deadline = time.monotonic() + seconds
        while True:
            found = check()
            if found is not None:
                return found
            left = deadline - time.monotonic()
            if left <= 0 or not self._heard(left):
                raise TimeoutError(
                    errno.ETIMEDOUT,
                    f"{what} has not happened within {seconds:g} s",
                )

    def fileno(self) -> int:
        return self._sock.fileno()

    def take(self) -> Heard:
        """What has been announced by now, without waiting; the object is false when nothing was.

        In a storm not all of it, and poll() says at once that there is more. Payloads are for
        `link.Link`, `address.Address` and `route.Route`, by message type (RTM_NEWLINK …).
        """
        heard = Heard()
        self._sock.settimeout(0)
        for _datagram in range(_DATAGRAMS_AT_ONCE):
            try:
                buf = self._sock.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                heard.lost = True  # told once, before what the buffer still holds
                continue
            offset = 0
            while offset + _HEADER.size <= len(buf):
                size, kind, _flags, _seq, _port = _HEADER.unpack_from(buf, offset)
                if kind >= NLMSG_MIN_TYPE:
                    heard.messages.append((kind, buf[offset + _HEADER.size : offset + size]))
                offset += (size + 3) & ~3 or len(buf)
        return heard

    def _heard(self, seconds: float) -> bool:
        """Whether something was announced before the time was over; takes all there is."""
        try:
            self._sock.settimeout(seconds)
            self._sock.recv(_RECEIVE_BYTES)
            self._sock.settimeout(0)
            while True:
                self._sock.recv(_RECEIVE_BYTES)
        except TimeoutError:
            return False
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return True  # more than the buffer holds, so something

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sock.close()
