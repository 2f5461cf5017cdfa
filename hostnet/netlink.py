"""A netlink socket and the bytes that go over it: request, acknowledgement, dump, attributes.

Serves rtnetlink and nfnetlink alike, since the framing is one (netlink(7), RFC 3549). What the
messages mean is said by the modules beside this one; waiting for events is in `monitor`.

A socket belongs to the network namespace in which it was opened and stays in it when the thread
moves on, so a `Netlink` is how a namespace is handed down to the functions of this package.
"""

from __future__ import annotations

import _socket
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

# <linux/netlink.h>
NLM_F_REQUEST = 0x01
NLM_F_MULTI = 0x02
NLM_F_ACK = 0x04
NLM_F_ECHO = 0x08
NLM_F_DUMP_INTR = 0x10
NLM_F_ACK_TLVS = 0x200
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_MIN_TYPE = 16
NLMSGERR_ATTR_MSG = 1
NLMSGERR_ATTR_OFFS = 2
NLA_F_NESTED = 0x8000
NLA_F_NET_BYTEORDER = 0x4000
NLA_TYPE_MASK = 0x3FFF

SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12

# A dump comes in pieces of at most 32 KiB, and no attribute list is longer than 64 KiB.
RECEIVE_BYTES = 0x10000
# The kernel answers inside send(); a wait this long means that the answer is lost.
ANSWER_SECONDS = 10
# Each attempt is one whole walk of the table: with somebody changing it all the time, an
# undisturbed walk is a matter of luck, and the luck of 200 attempts has not failed in tests.
DUMP_ATTEMPTS = 200

_ALL_OF_IT = "carry out several netlink requests"
_HEADER = struct.Struct("=IHHII")
_ATTR = struct.Struct("=HH")
_ATTR_U8 = struct.Struct("=HHBxxx")
_ATTR_U16 = struct.Struct("=HHHxx")
_ATTR_U32 = struct.Struct("=HHI")
_ATTR_U64 = struct.Struct("=HHQ")
_ATTR_BE16 = struct.Struct("!Hxx")
_ATTR_BE32 = struct.Struct("!I")
_INT = struct.Struct("=i")
_U16 = struct.Struct("=H")
_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class NetlinkError(OSError):
    """The kernel refused a request, or its answer did not come.

    `what` is the request in words ("create the veth pair veth1/eth0"), `extack` the kernel's own
    sentence where it gives one, `attribute` and `offset` the type and the place in the request of
    the attribute it points at (0 and 0 when it points nowhere). `unanswered` is True when nobody
    knows whether the request was carried out.
    """

    def __init__(
        self,
        code: int,
        what: str,
        *,
        extack: str = "",
        attribute: int = 0,
        offset: int = 0,
        unanswered: bool = False,
    ) -> None:
        super().__init__(code, os.strerror(code))
        self.what = what
        self.extack = extack
        self.attribute = attribute
        self.offset = offset
        self.unanswered = unanswered

    def __str__(self) -> str:
        number = self.errno or 0
        # 95 has two names, of which the table holds POSIX's and netlink's users know the other.
        name = "EOPNOTSUPP" if number == 95 else errno.errorcode.get(number, str(number))
        text = f"cannot {self.what}: {os.strerror(number)} ({name})"
        if self.unanswered:
            text += "; no answer from the kernel, so it is unknown whether this was done"
        if self.extack:
            text += f"; the kernel says: {self.extack}"
        if self.offset:
            text += f" (attribute type {self.attribute} at byte {self.offset} of the request)"
        return text


def attr(kind: int, data: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    size = len(data)
    return _ATTR.pack(size + 4, kind) + data + _PADDING[size & 3]


def attr_u8(kind: int, value: int) -> bytes:
    """An attribute that is a u8 in the machine's byte order."""
    return _ATTR_U8.pack(5, kind, value)


def attr_u16(kind: int, value: int) -> bytes:
    """An attribute that is a u16 in the machine's byte order."""
    return _ATTR_U16.pack(6, kind, value)


def attr_u32(kind: int, value: int) -> bytes:
    """An attribute that is a u32 in the machine's byte order."""
    return _ATTR_U32.pack(8, kind, value)


def attr_u64(kind: int, value: int) -> bytes:
    """An attribute that is a u64 in the machine's byte order."""
    return _ATTR_U64.pack(12, kind, value)


def attr_be16(kind: int, value: int) -> bytes:
    """A u16 in network byte order, as ports and nfnetlink have it."""
    return _ATTR.pack(6, kind) + _ATTR_BE16.pack(value)


def attr_be32(kind: int, value: int) -> bytes:
    """A u32 in network byte order, as nfnetlink has it."""
    return _ATTR.pack(8, kind) + _ATTR_BE32.pack(value)


def attr_str(kind: int, text: str) -> bytes:
    """A string with its terminating NUL."""
    return attr(kind, text.encode() + b"\0")


def nested(kind: int, *attrs: bytes) -> bytes:
    """An attribute that holds attributes.

    Carries NLA_F_NESTED: newer parsers insist on it, IFLA_PROTINFO means something else without
    it, and older ones mask it off.
    """
    return attr(kind | NLA_F_NESTED, b"".join(attrs))


def parse(buf: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from `offset` on, by type without flags; of equal types the last one wins.

    offset: a multiple of four, to which all in netlink is aligned. Raises ValueError where a length
    does not fit.
    """
    found: dict[int, bytes] = {}
    end = len(buf)
    size, stop = 0, offset
    # As short as it can be, for it is where a third of an ADD's time in Python goes: whether the
    # last one fits is looked at behind it.
    unpack, mask, last = _ATTR.unpack_from, NLA_TYPE_MASK, end - 4
    while offset <= last:
        size, kind = unpack(buf, offset)
        if size < 4:
            raise _misfit(size, offset, end)
        stop = offset + size
        found[kind & mask] = buf[offset + 4 : stop]
        offset = (stop + 3) & ~3
    if stop > end:
        raise _misfit(size, stop - size, end)
    return found


def parse_list(buf: bytes, offset: int = 0) -> list[tuple[int, bytes]]:
    """The attributes from `offset` on, in order, for lists that repeat a type.

    Raises ValueError where a length does not fit.
    """
    found: list[tuple[int, bytes]] = []
    end = len(buf)
    unpack = _ATTR.unpack_from
    while offset + 4 <= end:
        size, kind = unpack(buf, offset)
        if size < 4 or offset + size > end:
            raise _misfit(size, offset, end)
        found.append((kind & NLA_TYPE_MASK, buf[offset + 4 : offset + size]))
        offset += (size + 3) & ~3
    return found


class Attributes:
    """The attributes from `offset` on, walked as far as they are asked for.

    For those of a link, which are forty: the kernel puts first what most ask for, and no type
    twice.
    """

    __slots__ = ("_buf", "_next", "_walked")

    def __init__(self, buf: bytes, offset: int) -> None:
        """offset: a multiple of four, to which all in netlink is aligned."""
        self._buf = buf
        self._next = offset
        self._walked: dict[int, bytes] = {}

    def get(self, kind: int) -> bytes:
        """The value of a type, without flags; empty where there is none, or nothing in it.

        Raises ValueError where a length does not fit.
        """
        value = self._walked.get(kind)
        return self._walk(kind) if value is None else value

    def _walk(self, kind: int) -> bytes:
        buf, walked, offset = self._buf, self._walked, self._next
        end = len(buf)
        unpack, mask, last = _ATTR.unpack_from, NLA_TYPE_MASK, end - 4
        while offset <= last:
            size, found = unpack(buf, offset)
            stop = offset + size
            if size < 4 or stop > end:
                raise _misfit(size, offset, end)
            walked[found & mask] = value = buf[offset + 4 : stop]
            self._next = offset = (stop + 3) & ~3
            if found & mask == kind:
                return value
        return b""


def _misfit(size: int, offset: int, end: int) -> ValueError:
    return ValueError(f"netlink attribute of {size} bytes at {offset} of {end}")


def to_str(data: bytes) -> str:
    """A NUL-terminated string attribute; bytes that are not UTF-8 become surrogates."""
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def to_u8(data: bytes) -> int:
    """The value of a u8 attribute in the machine's byte order."""
    return data[0]


def to_u16(data: bytes) -> int:
    """The value of a u16 attribute in the machine's byte order."""
    value: int = _U16.unpack_from(data)[0]
    return value


def to_u32(data: bytes) -> int:
    """The value of a u32 attribute in the machine's byte order."""
    value: int = _U32.unpack_from(data)[0]
    return value


def to_u64(data: bytes) -> int:
    """The value of a u64 attribute in the machine's byte order."""
    value: int = _U64.unpack_from(data)[0]
    return value


class Netlink:
    """A netlink socket in the namespace in which the calling thread is now.

    One question at a time; answers to earlier questions (one that a signal cut short) are told
    apart by sequence number and thrown away. Not for several threads.
    """

    __slots__ = ("_port", "_seq", "_sock", "_unread_dump")

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        try:
            self._sock = sock = _socket.socket(
                _socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol
            )
            sock.bind((0, 0))
            sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
            sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
            sock.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
            # A receive timeout of the kernel's, not of Python's, which costs a poll() each time.
            sock.setsockopt(
                _socket.SOL_SOCKET, _socket.SO_RCVTIMEO, struct.pack("@ll", ANSWER_SECONDS, 0)
            )
            self._port: int = sock.getsockname()[0]
        except OSError as error:
            what = f"open a netlink socket of protocol {protocol} (Linux 4.20 or later is needed)"
            raise NetlinkError(error.errno or errno.EIO, what) from error
        self._seq = 0
        self._unread_dump = 0

    def close(self) -> None:
        """Close it; this object is of no more use."""
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def request(
        self,
        kind: int,
        payload: bytes,
        flags: int = 0,
        what: str = "",
        then: tuple[int, bytes] | None = None,
    ) -> list[tuple[int, bytes]]:
        """Ask and wait for the acknowledgement; gives the (type, payload) pairs sent before it.

        `what` says in words what is asked, for the error: "set the MTU of eth0 to 1400". `then` is
        the (type, payload) of a message that goes with it, so that no death of the process comes in
        between; whether it was carried out is not told.
        Raises NetlinkError.
        """
        self._seq = seq = self._seq + 1
        flags |= NLM_F_REQUEST | NLM_F_ACK
        message = _HEADER.pack(len(payload) + 16, kind, flags, seq, 0) + payload
        if then is not None:
            self._seq = seq + 1  # its refusal is nobody's answer
            message += _PADDING[len(message) & 3]
            message += _HEADER.pack(len(then[1]) + 16, then[0], NLM_F_REQUEST, seq + 1, 0) + then[1]
        what = what or f"carry out the netlink request of type {kind}"
        self._send(message, what)
        answers: list[tuple[int, bytes]] = []
        while True:
            buf = self._receive(what)
            for answer, _flags, its_seq, body in self._messages(buf, what):
                if its_seq != seq:
                    continue
                if answer == NLMSG_ERROR:
                    if (code := -_INT.unpack_from(body)[0]) != 0:
                        raise _refusal(code, what, body, message)
                    return answers
                if answer >= NLMSG_MIN_TYPE:
                    answers.append((answer, body))

    def find(self, kind: int, payload: bytes, what: str) -> bytes:
        """Ask for the one thing that a RTM_GET… or NFT_MSG_GET… means; gives its payload.

        Without an acknowledgement, which would be one more message for each look. Raises
        NetlinkError, mostly ENOENT or ENODEV where there is no such thing.
        """
        self._seq = seq = self._seq + 1
        message = _HEADER.pack(len(payload) + 16, kind, NLM_F_REQUEST, seq, 0) + payload
        self._send(message, what)
        while True:
            for answer, _flags, its_seq, body in self._messages(self._receive(what), what):
                if its_seq != seq:
                    continue
                if answer >= NLMSG_MIN_TYPE:
                    return body
                if answer == NLMSG_ERROR:
                    raise _refusal(-_INT.unpack_from(body)[0], what, body, message)

    def batch(
        self, messages: Iterable[tuple[int, bytes, int]], what: str | Callable[[int], str]
    ) -> None:
        """Send (type, payload, flags) messages in one piece and wait for every NLM_F_ACK in it.

        Only the last message needs NLM_F_ACK, since errors come unasked: the way of nfnetlink's
        transactions, and of rtnetlink's messages, of which each is carried out by itself, those
        behind a refused one too. what: says in words what all ask, or message `n` of them.
        Raises NetlinkError for the first refusal.
        """
        parts: list[bytes] = []
        first = self._seq + 1
        awaited: set[int] = set()
        for kind, payload, flags in messages:
            self._seq = seq = self._seq + 1
            parts.append(_HEADER.pack(len(payload) + 16, kind, flags | NLM_F_REQUEST, seq, 0))
            parts.append(payload + _PADDING[len(payload) & 3])
            if flags & NLM_F_ACK:
                awaited.add(seq)

        all_of_it = what if isinstance(what, str) else _ALL_OF_IT
        self._send(b"".join(parts), all_of_it)
        while awaited:
            for answer, _flags, its_seq, body in self._messages(
                self._receive(all_of_it), all_of_it
            ):
                if its_seq < first or answer != NLMSG_ERROR:
                    continue
                if (code := -_INT.unpack_from(body)[0]) != 0:
                    number = its_seq - first
                    asked = what if isinstance(what, str) else what(number)
                    raise _refusal(code, asked, body, b"".join(parts[number * 2 :]))
                awaited.discard(its_seq)

    def dump(self, kind: int, payload: bytes, what: str = "") -> list[tuple[int, bytes]]:
        """All that a table holds, as (type, payload) pairs; filters in `payload` are obeyed.

        A table that changes during the walk may give a wrong answer, which the kernel marks with
        NLM_F_DUMP_INTR: the walk is repeated until one was undisturbed.
        Raises NetlinkError, EAGAIN when none of DUMP_ATTEMPTS walks was.
        """
        what = what or f"list by the netlink dump of type {kind}"
        for _attempt in range(DUMP_ATTEMPTS):
            answers: list[tuple[int, bytes]] = []
            if self._dump_once(kind, payload, what, answers):
                return answers
        raise NetlinkError(
            errno.EAGAIN, what, extack=f"the table changed during each of {DUMP_ATTEMPTS} walks"
        )

    def _dump_once(
        self, kind: int, payload: bytes, what: str, answers: list[tuple[int, bytes]]
    ) -> bool:
        """One walk into `answers`; False when it was disturbed."""
        # A socket walks one table at a time: a walk that an exception cut short is read out.
        if self._unread_dump:
            self._read_out(what)
        self._seq = seq = self._seq + 1
        flags = NLM_F_REQUEST | NLM_F_DUMP
        message = _HEADER.pack(len(payload) + 16, kind, flags, seq, 0) + payload
        self._unread_dump = seq
        try:
            self._send(message, what)
        except NetlinkError:
            self._unread_dump = 0
            raise
        whole = True
        while self._unread_dump:
            for answer, its_flags, its_seq, body in self._messages(self._receive(what), what):
                if its_seq != seq:
                    continue
                if its_flags & NLM_F_DUMP_INTR:
                    whole = False
                if answer >= NLMSG_MIN_TYPE:
                    answers.append((answer, body))
                elif len(body) >= 4 and (code := -_INT.unpack_from(body)[0]) > 0:
                    start = 4 if answer == NLMSG_DONE else 20
                    raise _refusal(code, what, body, message, start)
        return whole

    def _read_out(self, what: str) -> None:
        """Read what is left of a walk, which may be nothing.

        The kernel has the next piece ready when one is read. So where there is none the last one
        was read, and an exception struck before anybody looked at it.
        """
        try:
            while self._unread_dump:
                self._messages(self._sock.recv(RECEIVE_BYTES, _socket.MSG_DONTWAIT), what)
        except BlockingIOError:
            pass
        except OSError as error:
            raise NetlinkError(error.errno or errno.EIO, what) from error
        finally:
            self._unread_dump = 0

    def _send(self, message: bytes, what: str) -> None:
        try:
            self._sock.send(message)
        except OSError as error:
            raise NetlinkError(error.errno or errno.EIO, what) from error

    def _receive(self, what: str) -> bytes:
        """The next datagram from the kernel."""
        try:
            return self._sock.recv(RECEIVE_BYTES)
        except OSError as error:
            code = errno.ETIMEDOUT if error.errno == errno.EAGAIN else error.errno or errno.EIO
        # The kernel answers inside send(), so an answer is there by now or never comes. Often it
        # is there: an overrun (ENOBUFS) is told once, and loses what came last.
        try:
            return self._sock.recv(RECEIVE_BYTES, _socket.MSG_DONTWAIT)
        except OSError as error:
            raise NetlinkError(code, what, unanswered=True) from error

    def _messages(self, buf: bytes, what: str) -> list[tuple[int, int, int, bytes]]:
        """(type, flags, sequence number, payload) of each message for this socket in `buf`."""
        found: list[tuple[int, int, int, bytes]] = []
        offset = 0
        end = len(buf)
        unpack, own, last = _HEADER.unpack_from, self._port, end - 16
        while offset <= last:
            size, kind, flags, seq, port = unpack(buf, offset)
            stop = offset + size
            if size < 16 or stop > end:
                raise NetlinkError(
                    errno.EMSGSIZE, what, extack=f"the answer is cut off: {size} bytes of {end}"
                )
            if port == own:
                found.append((kind, flags, seq, buf[offset + 16 : stop]))
                if seq == self._unread_dump and kind in (NLMSG_ERROR, NLMSG_DONE):
                    self._unread_dump = 0
            offset = (stop + 3) & ~3
        return found


def _refusal(code: int, what: str, body: bytes, message: bytes, start: int = 20) -> NetlinkError:
    """The error for a refusal with this body, whose extended-ack attributes begin at `start`.

    They come after the error number and the header of the request (all that NETLINK_CAP_ACK
    leaves of it); in the NLMSG_DONE of a dump, after the error number.
    """
    attribute = offset = 0
    said = parse(body, start)
    if place := said.get(NLMSGERR_ATTR_OFFS):
        offset = to_u32(place)
        if 16 <= offset <= len(message) - 4:
            attribute = _ATTR.unpack_from(message, offset)[1] & NLA_TYPE_MASK
    extack = to_str(said.get(NLMSGERR_ATTR_MSG, b""))
    return NetlinkError(code, what, extack=extack, attribute=attribute, offset=offset)
