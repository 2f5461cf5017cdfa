"""Transactions on nftables that happen only if nothing else did: read, decide, commit.

The kernel numbers the states of a namespace's ruleset (its generation). A transaction that says
which one it was made for is refused, at no cost, when another commit came in between; then it is
read and decided anew (`change`). So what was looked up still holds when the transaction happens,
with no lock file that another mount namespace would not see or a killed process could leave.
"""

from __future__ import annotations

import _socket
import errno
import struct
import time

from hostnet import condition
from hostnet.netfilter import INET
from hostnet.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NetlinkError,
    attr_be32,
    attr_str,
    nested,
)
from hostnet.nfelement import DELSETELEM, LIST_ELEMENTS, NEWSETELEM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hostnet.netfilter import Netfilter
    from hostnet.nfelement import Element

# <linux/netfilter/nfnetlink.h>
BATCH_BEGIN = 0x10
BATCH_END = 0x11
BATCH_GENID = 1
# <linux/netfilter/nf_tables.h>
NEWCHAIN = 0xA03
DELCHAIN = 0xA05
DELRULE = 0xA08
CHAIN_TABLE = 1
CHAIN_NAME = 3
RULE_TABLE = 1
RULE_CHAIN = 2

WAIT_SECONDS = 10.0
_BATCH = struct.pack("!BBH", 0, 0, 0xA)
# A list of elements is one attribute, which holds 64 KiB at most; an element takes 350 bytes.
_ELEMENTS_A_MESSAGE = 150
_SO_SNDBUFFORCE = 32  # <asm-generic/socket.h>
_USUAL_SEND_BUFFER = 200_000


class ContentionError(TimeoutError):
    """Other programs kept changing the ruleset for as long as this one tried to."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(errno.ETIMEDOUT, what)
        self.what = what
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"cannot {self.what}: other programs changed the nftables ruleset all the time for "
            f"{self.seconds:g} s; see `nft monitor`"
        )


class Changes:
    """A transaction in the making: deletions and creations, in the order given."""

    __slots__ = ("_acts",)

    def __init__(self) -> None:
        self._acts: list[tuple[int, Element | bytes]] = []

    def __bool__(self) -> bool:
        return bool(self._acts)

    def create(self, element: Element) -> None:
        """Make an element that must not be there."""
        self._acts.append((NEWSETELEM, element))

    def delete(self, element: Element) -> None:
        """Delete the element with this key, which must be there."""
        self._acts.append((DELSETELEM, element))

    def create_chain(self, table: str, name: str) -> None:
        """Make an empty chain without a hook, or leave it as it is."""
        self._acts.append((NEWCHAIN, attr_str(CHAIN_TABLE, table) + attr_str(CHAIN_NAME, name)))

    def delete_chain(self, table: str, name: str) -> None:
        """Delete a chain with its rules; nothing may jump to it any more."""
        rules = attr_str(RULE_TABLE, table) + attr_str(RULE_CHAIN, name)
        self._acts.append((DELRULE, rules))
        self._acts.append((DELCHAIN, attr_str(CHAIN_TABLE, table) + attr_str(CHAIN_NAME, name)))

    def extend(self, other: Changes) -> None:
        """Do what the other one does, too, after this."""
        self._acts += other._acts

    def commit(self, nl: Netfilter, generation: int, what: str) -> None:
        """All of it or nothing. Raises NetlinkError, ERESTART if the ruleset is another by now."""
        messages = [(BATCH_BEGIN, _BATCH + attr_be32(BATCH_GENID, generation), 0)]
        messages += ((kind, payload, _flags(kind)) for kind, payload in self._messages())
        kind, payload, flags = messages[-1]
        # Before Linux 6.10 the message that ends a batch is not acknowledged, so the last one
        # before it is asked to be; the kernel answers after the commit.
        messages[-1] = kind, payload, flags | NLM_F_ACK
        messages.append((BATCH_END, _BATCH, 0))
        _make_room(nl, sum(len(payload) + 20 for _kind, payload, _flags in messages))
        nl.batch(messages, what)
        nl.committed(generation)

    def _messages(self) -> list[tuple[int, bytes]]:
        """(type, payload), neighbours of one kind and one map together in one message."""
        messages: list[tuple[int, bytes]] = []
        run: list[Element] = []
        run_kind = 0

        def close() -> None:
            if run:
                parts = (e.whole() if run_kind == NEWSETELEM else e.named() for e in run)
                payload = run[0].map.header + run[0].map.place()
                payload += nested(LIST_ELEMENTS, *parts)
                messages.append((run_kind, payload))
                run.clear()

        for kind, act in self._acts:
            if isinstance(act, bytes):
                close()
                messages.append((kind, INET + act))
                continue
            full = len(run) == _ELEMENTS_A_MESSAGE
            if full or kind != run_kind or (run and run[0].map.where != act.map.where):
                close()
            run_kind = kind
            run.append(act)
        close()
        return messages


def _flags(kind: int) -> int:
    if kind == NEWSETELEM:
        return NLM_F_CREATE | NLM_F_EXCL
    return NLM_F_CREATE if kind == NEWCHAIN else 0


def _make_room(nl: Netfilter, size: int) -> None:
    """Let the socket take a message of this size: a range of a thousand ports is one of 500 KiB."""
    if size <= _USUAL_SEND_BUFFER:
        return
    sock = _socket.socket(fileno=nl.fileno())
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _SO_SNDBUFFORCE, size)
    finally:
        sock.detach()


def change(
    nl: Netfilter, plan: Callable[[], Changes], what: str, seconds: float = WAIT_SECONDS
) -> bool:
    """Commit what `plan` decides on, on the state it has read; False if that is nothing.

    `plan` may run several times, so all it does is to look up. Raises what `plan` raises,
    NetlinkError, ContentionError when for `seconds` others were always in between.
    """
    deadline = time.monotonic() + seconds
    number = nl.latest()
    while True:
        changes = plan()
        if not changes:
            return False
        condition.require(what)  # after the state was numbered: what comes later has it refused
        try:
            changes.commit(nl, number, what)
            return True
        except NetlinkError as error:
            if error.errno != errno.ERESTART:
                raise
        if time.monotonic() > deadline:
            raise ContentionError(what, seconds) from None
        number = nl.generation()
