"""Whether iptables has anything here, asked without its programs: for a DEL, mostly of nothing.

iptables-nft keeps its rules in nftables tables of fixed names, so for those it is netlink. For
iptables-legacy /proc names the tables that are in use, and getsockopt() on a raw socket gives them
whole, as its programs get them.
"""

from __future__ import annotations

import _socket
import errno
import os
import struct

from hostnet.lock import NamespaceLock
from hostnet.netfilter import header
from hostnet.netlink import NetlinkError
from hostnet.nfchain import chain_exists, tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from hostnet.netfilter import Netfilter

NFT, LEGACY = "nft", "legacy"
"""The two iptables, by what their programs have in their names."""
FAMILY = {4: "ip", 6: "ip6"}
"""By IP version: the nftables family, which is also how the programs' names begin."""


class Marker:
    """`with Marker():` somebody changes iptables' rules in this namespace; he has its lock.

    That can be asked without waiting for the lock, which others take for other things: a socket
    bound to a name that is the namespace's own (unix(7), "abstract"). Whoever inherits it keeps it.
    """

    __slots__ = ("_sock",)

    _NAME = "\0pycni/iptables"

    def __enter__(self) -> Marker:
        self._sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            self._sock.bind(self._NAME)
        except OSError as error:
            # Any process may take the name. Whoever looks then waits for the lock needlessly.
            if error.errno != errno.EADDRINUSE:
                self._sock.close()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    @classmethod
    def is_there(cls) -> bool:
        """Whether somebody does. Raises OSError."""
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            return sock.connect_ex(cls._NAME) == 0
        finally:
            sock.close()


class Here:
    """Where there are tables in the namespace of the calling thread: three looks, no program.

    nl: a socket born there, None on a kernel without netfilter's. tables: family and name of the
    nftables tables, those of others too. Raises NetlinkError.
    """

    __slots__ = ("_legacy", "nl", "tables")

    def __init__(self, nl: Netfilter | None) -> None:
        self.nl = nl
        self.tables = _nft_tables(nl) if nl is not None else set()
        self._legacy = {version: _legacy_tables(version) for version in FAMILY}

    @classmethod
    def settled(cls, nl: Netfilter | None) -> Here:
        """What there is when no program is changing it, such as one whose caller was killed.

        For who removes things. Raises LockTimeout too.
        """
        if not Marker.is_there():
            return cls(nl)
        with NamespaceLock():
            return cls(nl)

    def any(self, table: str) -> bool:
        """Whether there is such a table at all."""
        return bool(self.with_table(table))

    def with_table(self, table: str) -> list[tuple[int, str]]:
        """IP version and kind (NFT, LEGACY) of the tables of this name."""
        found = []
        for version, family in FAMILY.items():
            if (family, table) in self.tables:
                found.append((version, NFT))
            if table in self._legacy[version]:
                found.append((version, LEGACY))
        return found

    def with_chain(self, table: str, chain: str) -> list[tuple[int, str]]:
        """IP version and kind (NFT, LEGACY) of the tables that have this chain.

        Raises NetlinkError, OSError.
        """
        return [one for one in self.with_table(table) if self._has(one, table, chain)]

    def _has(self, one: tuple[int, str], table: str, chain: str) -> bool:
        version, kind = one
        if kind == LEGACY:
            return Blob(version, table).has_chain(chain)
        family = header(FAMILY[version])
        return self.nl is not None and chain_exists(self.nl, table, chain, family)


def _nft_tables(nl: Netfilter) -> set[tuple[str, str]]:
    try:
        return tables(nl)
    except NetlinkError as error:
        # What a message to a subsystem gets that is not there.
        if error.errno != errno.EINVAL:
            raise
        return set()


def _legacy_tables(version: int) -> frozenset[str]:
    """The tables of iptables-legacy that are in use in this namespace."""
    try:
        fd = os.open(f"/proc/thread-self/net/{FAMILY[version]}_tables_names", os.O_RDONLY)
    except OSError:  # this kernel has none
        return frozenset()
    try:
        return frozenset(os.read(fd, 4096).decode().split())
    finally:
        os.close(fd)


_SO_GET_INFO, _SO_GET_ENTRIES = 64, 65  # <linux/netfilter_ipv4/ip_tables.h>
_LEVELS = {4: (_socket.AF_INET, 0), 6: (_socket.AF_INET6, 41)}  # SOL_IP, SOL_IPV6
_INFO = struct.Struct("@32sI5I5III")  # struct ipt_getinfo
_ENTRIES_HEAD = struct.calcsize("@32sI0Q")  # struct ipt_get_entries, up to its entries
_TARGET_OFFSET = {4: 88, 6: 140}  # in struct ipt_entry and struct ip6t_entry
_VERDICT_OFFSET = 32  # in struct xt_standard_target
_FORWARD = 2  # NF_INET_FORWARD
_ACCEPT = -2  # -NF_ACCEPT - 1
_ATTEMPTS = 20


class LegacyError(OSError):
    """The kernel does not show the tables of iptables-legacy."""

    def __init__(self, code: int) -> None:
        super().__init__(code, os.strerror(code))

    def __str__(self) -> str:
        return f"cannot read the tables of iptables-legacy: {self.strerror}"


class Blob:
    """A table of iptables-legacy as the kernel has it. Raises OSError."""

    __slots__ = ("_first", "_last", "_version", "data")

    def __init__(self, version: int, table: str) -> None:
        self._version = version
        family, level = _LEVELS[version]
        try:
            kind = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC
            sock = _socket.socket(family, kind, 255)  # IPPROTO_RAW
        except OSError as error:
            raise LegacyError(error.errno or errno.EIO) from error
        try:
            name = table.encode()
            for _attempt in range(_ATTEMPTS):
                info = _INFO.unpack(_getsockopt(sock, level, _SO_GET_INFO, name, _INFO.size))
                size = info[-1]
                wanted = struct.pack("@32sI0Q", name, size)
                try:
                    found = _getsockopt(sock, level, _SO_GET_ENTRIES, wanted, _ENTRIES_HEAD + size)
                except LegacyError as error:
                    if error.errno != errno.EAGAIN:  # it has another size by now
                        raise
                    continue
                self.data = found[_ENTRIES_HEAD:]
                self._first, self._last = info[2 + _FORWARD], info[7 + _FORWARD]
                return
        finally:
            sock.close()
        raise BlockingIOError(errno.EAGAIN, f"the table {table} changes all the time")

    def has_chain(self, chain: str) -> bool:
        """Whether there is a chain of this name, which stands at its head as an error target."""
        return chain.encode() + b"\0" in self.data

    @property
    def forward_is_plain(self) -> bool:
        """Whether the chain FORWARD, of the table filter, has no rule and the policy ACCEPT."""
        if self._first != self._last:
            return False
        (offset,) = struct.unpack_from("@H", self.data, self._last + _TARGET_OFFSET[self._version])
        at = self._last + offset + _VERDICT_OFFSET
        return self.data[at : at + 4] == struct.pack("@i", _ACCEPT)


def _getsockopt(sock: _socket.socket, level: int, option: int, given: bytes, size: int) -> bytes:
    """getsockopt() with a buffer that the kernel reads first, which Python's cannot.

    By way of _ctypes, as in `netns`. The kernel writes into what is ours alone. Raises OSError.
    """
    import _ctypes

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO

    function = Function(_ctypes.dlsym(_ctypes.dlopen("", 0), "getsockopt"))
    buffer = bytes(bytearray(given.ljust(size, b"\0")))
    length = bytes(bytearray(struct.pack("@I", size)))
    if function(sock.fileno(), level, option, buffer, length):
        raise LegacyError(_ctypes.get_errno())
    return buffer
