"""The socket to netfilter, and what a process that lives on keeps of it from call to call.

A process that serves many calls keeps its socket: to close one waits for what was removed by
anybody to be freed, 10 ms of RCU, and nobody can change nftables meanwhile. And it keeps what it
has read of the rules, which are the same for every call. The kernel numbers the states of a
namespace's ruleset, its generation: while the number stays, so does everything that was read. A
commit of our own, made for a known state, moves the number by one and no rule, so what was read
holds after it too. Not a byte is believed longer than that.
"""

from __future__ import annotations

import errno
import os

from hostnet.netlink import NETLINK_NETFILTER, Netlink, NetlinkError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

# <linux/netfilter/nf_tables.h>
GETGEN = 0xA10
GEN_ID = 1

# <linux/netfilter.h>
_FAMILIES = {"inet": 1, "ip": 2, "bridge": 7, "ip6": 10}
FAMILY_NAMES = {number: name for name, number in _FAMILIES.items()}


def header(family: str) -> bytes:
    """The nfgenmsg header of a message about a table of this family (ip, ip6, inet, bridge)."""
    return bytes([_FAMILIES[family], 0, 0, 0])


INET = header("inet")

_kept: list[Netfilter] | None = None
"""The socket that waits for its next use; None in a process that keeps none."""
_steady = False


def keep() -> None:
    """From now on, keep this process's socket open and use it again."""
    global _kept
    if _kept is None:
        _kept = []


def hold(steady: bool) -> None:
    """Whether what is read from now on is believed at each `open`, and the generation not asked.

    For who makes no change but for a generation that he knows, or who looks again afterwards.
    """
    global _steady
    _steady = steady
    for one in _kept or ():
        one._asked = False


def _here() -> tuple[int, int, int]:
    """The namespace of the calling thread, and the process."""
    found = os.stat("/proc/thread-self/ns/net")
    return found.st_dev, found.st_ino, os.getpid()


class Netfilter(Netlink):
    """A socket of NETLINK_NETFILTER in the namespace of the calling thread.

    `Netfilter.open()` gives one that is kept, where there is one; `close` keeps it again.
    """

    __slots__ = ("_asked", "_generation", "_home", "_known")

    def __init__(self) -> None:
        super().__init__(NETLINK_NETFILTER)
        self._home = _here() if _kept is not None else (0, 0, 0)
        self._known: dict[tuple[str, ...], list[str]] = {}
        self._generation = -1
        self._asked = False

    @classmethod
    def open(cls) -> Netfilter:
        """A socket, kept from an earlier call or new. Raises NetlinkError."""
        here = _here() if _kept else None
        while _kept:
            found = _kept.pop()
            if found._home == here:
                found._asked &= _steady
                return found
            if found._home[2] != os.getpid():
                found._sock.detach()  # a parent's: whose the number is now, nobody knows
            found._sock.close()
        return cls()

    def close(self) -> None:
        """Close it, or keep it for the next `open`; to close it twice does nothing more."""
        if _kept is not None and not _kept and not self._unread_dump and self.fileno() >= 0:
            _kept.append(self)
        elif _kept is None or self not in _kept:
            super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            super().close()  # what an exception left on it nobody should read

    # ---- the state of the ruleset

    def generation(self) -> int:
        """The number of the ruleset's present state; what was read of another one is forgotten.

        Raises NetlinkError, EINVAL where the kernel has no nftables, EPERM without CAP_NET_ADMIN.
        """
        found = self.find(GETGEN, INET, "read the generation of nftables' rules")
        number = int.from_bytes(parse(found, 4)[GEN_ID], "big")
        if number != self._generation:
            self._known.clear()
            self._generation = number
        self._asked = True
        return number

    def latest(self) -> int:
        """As `generation`, but not asked again where it was since `open`."""
        return self._generation if self._asked else self.generation()

    def committed(self, number: int) -> None:
        """A transaction made for this state, which changes elements only, was carried out."""
        if self._generation == number:
            self._generation = number + 1  # nf_tables_commit(): one for each

    def available(self) -> bool:
        """Whether the kernel has nftables. Raises NetlinkError if it does not let us use it."""
        if self._generation >= 0:  # it has answered this socket before
            return True
        try:
            self.generation()
        except NetlinkError as error:
            # What a message to a subsystem gets that is not there.
            if error.errno == errno.EINVAL:
                return False
            raise
        return True

    def require(self) -> None:
        """Raise NetlinkError unless the kernel has nftables, and lets us use it."""
        if not self.available():
            raise NetlinkError(
                errno.EOPNOTSUPP, "use nftables", extack="this kernel has none; load nf_tables"
            )

    # ---- what was read of it

    def look_again(self) -> None:
        """Once after `open`, forget what was read of an earlier state. Raises NetlinkError."""
        if _kept is not None:
            self.latest()

    def recalled(self, *what: str) -> list[str] | None:
        """What was remembered by these words, in this state of the ruleset; None if nothing was."""
        return self._known.get(what)

    def remember(self, *what: str, found: list[str]) -> None:
        """Note what was read, in a process that lives on; the generation was asked for before."""
        if _kept is not None and self._asked:
            self._known[what] = found

    def forget(self) -> None:
        """Forget all that was read: the rules were changed."""
        self._known.clear()
        self._asked = False


def find() -> Netfilter | None:
    """A socket to look for what is there; None on a kernel without netfilter, where nothing is.

    Raises NetlinkError.
    """
    try:
        return Netfilter.open()
    except NetlinkError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return None
        raise
