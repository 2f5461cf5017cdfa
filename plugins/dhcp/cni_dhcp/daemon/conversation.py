"""Say something, again and again, until somebody answers: what both protocols have in common."""

from __future__ import annotations

import asyncio
import os
import random

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    T = TypeVar("T")

_RECEIVE_BYTES = 0x10000
_FIRST_SECONDS = 1.0
_JITTER = 0.1


@record
class Limits:
    """How patient the daemon is, in seconds.

    timeout: with one message or conversation. resend_max: the longest pause between two sendings.
    resend_timeout: with an ADD. broadcast: ask servers for answers to everybody.
    """

    timeout: float
    resend_max: float
    resend_timeout: float
    broadcast: bool = False


class RefusedError(Exception):
    """The server does not let the client have its address any more."""


class Tally:
    """What happened while an address was asked for, to tell it when there is none.

    sent, heard: how often what was, by name. problems: what was wrong with what was heard.
    """

    __slots__ = ("heard", "problems", "sent")

    def __init__(self) -> None:
        self.sent: dict[str, int] = {}
        self.heard: dict[str, int] = {}
        self.problems: dict[str, None] = {}

    def note_sent(self, name: str) -> None:
        self.sent[name] = self.sent.get(name, 0) + 1

    def note_heard(self, name: str) -> None:
        self.heard[name] = self.heard.get(name, 0) + 1

    def note_problem(self, problem: object) -> None:
        self.problems[str(problem)[:200]] = None

    def __str__(self) -> str:
        sent = _count(self.sent) or "nothing"
        text = f"sent {sent}, heard {_count(self.heard) or 'nothing'}"
        return "; ".join((text, *list(self.problems)[-3:]))


def _count(names: dict[str, int]) -> str:
    return " and ".join(f"{number} {name}" for name, number in names.items())


def pauses(limits: Limits) -> Iterator[float]:
    """Seconds between two sendings: 1, 2, 4, …, each a little off (RFC 2131, section 4.1).

    The RFC's example begins with 4 s; what is lost here is lost while a new port learns, and
    somebody waits for an ADD.
    """
    pause = _FIRST_SECONDS
    while True:
        yield min(pause, limits.resend_max) * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
        pause = min(pause * 2, limits.resend_max)


def transaction() -> int:
    """A number for a conversation, 32 bits."""
    return int.from_bytes(os.urandom(4), "big")


class Line:
    """A socket to talk over. tally: of what is said on it."""

    __slots__ = ("_limits", "sock", "tally")

    def __init__(self, sock: socket.socket, tally: Tally, limits: Limits) -> None:
        self.tally = tally
        self.sock = sock
        self._limits = limits

    async def ask(
        self,
        send: Callable[[], None],
        read: Callable[[bytes, tuple[object, ...]], T | None],
        seconds: float,
        waits: Iterator[float] | None = None,
    ) -> T | None:
        """Send now and after each of the waits, until `read` makes something of what comes.

        read: gets a datagram and its source; None or a ValueError passes it over. seconds: for all
        of it. waits: the usual pauses by default. Gives None when the time is over. A network that
        cannot be sent to is one that loses packets.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        waits = waits or pauses(self._limits)
        while (began := loop.time()) < end:
            try:
                send()
            except OSError as error:
                self.tally.note_problem(f"cannot send: {error.strerror}")
            until = min(end, began + next(waits))
            while (left := until - loop.time()) > 0:
                try:
                    answer = await self._hear(read, left)
                except TimeoutError:
                    break
                if answer is not None:
                    return answer
        return None

    async def _hear(
        self, read: Callable[[bytes, tuple[object, ...]], T | None], seconds: float
    ) -> T | None:
        """What `read` makes of the next datagram. Raises TimeoutError."""
        receiving = asyncio.get_running_loop().sock_recvfrom(self.sock, _RECEIVE_BYTES)
        try:
            return read(*await asyncio.wait_for(receiving, seconds))
        except ValueError:
            return None
        except TimeoutError:
            raise
        except OSError as error:  # told once, such as that the link went down
            self.tally.note_problem(f"cannot receive: {error.strerror}")
            return None


def close(sock: socket.socket) -> None:
    """Close a packet socket in a thread: the kernel waits there."""
    _closing = asyncio.get_running_loop().run_in_executor(None, os.close, sock.detach())
