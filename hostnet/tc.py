"""Traffic control: queueing disciplines, classes and filters of a link (tc(8), rtnetlink(7)).

What shaping takes and no more: `tbf`, `htb` with `bfifo` below it, the `ingress` hook, and `u32`
filters that choose a class or redirect to another link. Rates are bytes a second and bursts bytes,
as the kernel has them; tc(8) and CNI count bits.
"""

from __future__ import annotations

import _socket
import errno
import struct

from hostnet.netlink import (
    NLM_F_CREATE,
    NLM_F_ECHO,
    NLM_F_EXCL,
    NetlinkError,
    attr,
    attr_str,
    attr_u32,
    attr_u64,
    nested,
    parse,
    parse_list,
    to_str,
    to_u32,
    to_u64,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostnet.netlink import Netlink

# <linux/rtnetlink.h>
RTM_NEWQDISC = 36
RTM_DELQDISC = 37
RTM_GETQDISC = 38
RTM_NEWTCLASS = 40
RTM_GETTCLASS = 42
RTM_NEWTFILTER = 44
RTM_GETTFILTER = 46
TCA_KIND = 1
TCA_OPTIONS = 2

# <linux/pkt_sched.h>
ROOT = 0xFFFFFFFF
INGRESS = 0xFFFFFFF1
INGRESS_HANDLE = 0xFFFF0000
TC_LINKLAYER_ETHERNET = 1
TCA_TBF_PARMS = 1
TCA_TBF_RATE64 = 4
TCA_TBF_BURST = 6
TCA_HTB_PARMS = 1
TCA_HTB_INIT = 2
TCA_HTB_RATE64 = 6
TCA_HTB_CEIL64 = 7

# <linux/pkt_cls.h>, <linux/tc_act/tc_mirred.h>
TCA_ACT_KIND = 1
TCA_ACT_OPTIONS = 2
TCA_U32_CLASSID = 1
TCA_U32_SEL = 5
TCA_U32_ACT = 7
TC_U32_TERMINAL = 1
TCA_MIRRED_PARMS = 2
TC_ACT_STOLEN = 4
TCA_EGRESS_REDIR = 1

TICK_NS = 64
"""The kernel's unit of bursts, as the time they take (PSCHED_SHIFT, <net/pkt_sched.h>)."""
_MAX_U32 = 2**32 - 1
_LONGEST_PACKET = 200_000  # htb warns of larger quanta

_TCMSG = struct.Struct("=BxxxiIII")  # family, link, handle, parent, info
_RATE = struct.Struct("=BBHhHI")  # log of cell, link layer, overhead, alignment, mpu, rate
_TBF = struct.Struct("=III")  # limit, buffer, mtu; after the rate and the peak rate
_HTB_GLOB = struct.Struct("=IIIII")  # version, rate to quantum, default class, debug, packets
_HTB_CLASS = struct.Struct("=IIIII")  # buffer, cbuffer, quantum, level, prio; after two rates
_U32_SEL = struct.Struct("=BBBx2xHhh4x")  # flags, shift, keys, offset, offset of that, of hash
_U32_KEY = struct.Struct("!II")  # mask, value; then offset and its mask, of this machine's order
_U32_PLACE = struct.Struct("=ii")
_MIRRED = struct.Struct("=IIiiiiI")  # index, capabilities, action, references, bindings, how, link


def handle(major: int, minor: int = 0) -> int:
    """`1:48` of tc(8) is handle(1, 0x48): both parts are hexadecimal there."""
    return major << 16 | minor


def shown(number: int) -> str:
    """A handle as tc(8) writes it."""
    return f"{number >> 16:x}:{number & 0xFFFF:x}"


def ticks(rate: int, burst: int) -> int:
    """How long `burst` bytes take at `rate`, in TICK_NS."""
    return burst * 1_000_000_000 // rate // TICK_NS


class Qdisc:
    """A queueing discipline as the kernel described it. kind: "tbf", "htb", "ingress", …"""

    __slots__ = ("_options", "handle", "kind", "parent")

    def __init__(self, payload: bytes) -> None:
        """From the payload of an RTM_NEWQDISC message, or of an RTM_NEWTCLASS one."""
        _family, _index, self.handle, self.parent, _info = _TCMSG.unpack_from(payload)
        attrs = parse(payload, _TCMSG.size)
        self.kind = to_str(attrs.get(TCA_KIND, b""))
        self._options = attrs.get(TCA_OPTIONS, b"")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.kind} {shown(self.handle)}>"

    @property
    def rate(self) -> int:
        """Of a tbf or of a class of htb; 0 of others."""
        options = self._parsed()
        wide = options.get({"tbf": TCA_TBF_RATE64, "htb": TCA_HTB_RATE64}.get(self.kind, 0))
        if wide:
            return to_u64(wide)
        parms = options.get(TCA_TBF_PARMS, b"")  # TCA_HTB_PARMS is the same number
        rate: int = _RATE.unpack_from(parms)[-1] if parms else 0
        return rate

    @property
    def buffer(self) -> int:
        """The burst of a tbf or of a class of htb in ticks, of which 32 bits are told."""
        parms = self._parsed().get(TCA_TBF_PARMS, b"")
        if not parms:
            return 0
        at = 2 * _RATE.size + (4 if self.kind == "tbf" else 0)
        return to_u32(parms[at:])

    @property
    def limit(self) -> int:
        """How many bytes may wait in a tbf or a bfifo."""
        if self.kind == "bfifo":
            return to_u32(self._options)
        parms = self._parsed().get(TCA_TBF_PARMS, b"")
        return to_u32(parms[2 * _RATE.size :]) if parms and self.kind == "tbf" else 0

    @property
    def default(self) -> int:
        """The minor number of the class of an htb for what no filter has chosen one."""
        init = self._parsed().get(TCA_HTB_INIT, b"")
        return to_u32(init[8:]) if init and self.kind == "htb" else 0

    def _parsed(self) -> dict[int, bytes]:
        return parse(self._options) if self.kind in ("tbf", "htb") else {}


class Filter:
    """A u32 filter as the kernel described it. protocol: an ETH_P_ number, 3 for all.

    keys: (offset in the network header, value, mask) of 32 bits each. classid: the class it
    chooses, 0 for none. redirect: the link it sends to, 0 if that is gone, None for no redirection.
    """

    __slots__ = ("classid", "keys", "priority", "protocol", "redirect")

    def __init__(self, payload: bytes) -> None:
        """From the payload of an RTM_NEWTFILTER message."""
        _family, _index, _handle, _parent, info = _TCMSG.unpack_from(payload)
        options = parse(parse(payload, _TCMSG.size).get(TCA_OPTIONS, b""))
        self.priority = info >> 16
        self.protocol = _socket.ntohs(info & 0xFFFF)
        self.classid = to_u32(options.get(TCA_U32_CLASSID, bytes(4)))
        self.keys = _keys(options.get(TCA_U32_SEL, b""))
        self.redirect = _redirect(options.get(TCA_U32_ACT, b""))

    def __repr__(self) -> str:
        return f"<Filter {self.keys} to {shown(self.classid)} or link {self.redirect}>"


def _keys(selector: bytes) -> tuple[tuple[int, int, int], ...]:
    found = []
    for start in range(_U32_SEL.size, len(selector), _U32_KEY.size + _U32_PLACE.size):
        mask, value = _U32_KEY.unpack_from(selector, start)
        found.append((_U32_PLACE.unpack_from(selector, start + _U32_KEY.size)[0], value, mask))
    return tuple(found)


def _redirect(actions: bytes) -> int | None:
    for _number, action in parse_list(actions):
        attrs = parse(action)
        parms = parse(attrs.get(TCA_ACT_OPTIONS, b"")).get(TCA_MIRRED_PARMS, b"")
        if to_str(attrs.get(TCA_ACT_KIND, b"")) == "mirred" and parms:
            *_, how, link = _MIRRED.unpack_from(parms)
            return int(link) if how == TCA_EGRESS_REDIR else None
    return None


# ---- what they are set to ----------------------------------------------------------------------


def _rate(rate: int) -> bytes:
    # With the link layer stated the kernel wants no table of transmission times.
    return _RATE.pack(0, TC_LINKLAYER_ETHERNET, 0, 0, 0, min(rate, _MAX_U32))


def tbf(rate: int, burst: int, limit: int) -> bytes:
    """Options of a token bucket filter: `burst` bytes at once, `limit` may wait.

    A packet larger than `burst` never gets through, so it must not be below the link's MTU with
    its header.
    """
    parms = _rate(rate) + bytes(_RATE.size) + _TBF.pack(limit, min(ticks(rate, burst), _MAX_U32), 0)
    options = attr(TCA_TBF_PARMS, parms)
    if rate > _MAX_U32:
        options += attr_u64(TCA_TBF_RATE64, rate)
    return options + attr_u32(TCA_TBF_BURST, burst)


def htb(default: int) -> bytes:
    """Options of an htb. default: minor number of the class for what no filter has chosen one."""
    return attr(TCA_HTB_INIT, _HTB_GLOB.pack(3, 10, default, 0, 0))


def htb_class(rate: int, burst: int) -> bytes:
    """Options of a class of htb that sends at this rate at most."""
    buffer = min(ticks(rate, burst), _MAX_U32)
    quantum = max(min(rate // 10, _LONGEST_PACKET), 1_514)
    parms = _rate(rate) + _rate(rate) + _HTB_CLASS.pack(buffer, buffer, quantum, 0, 0)
    options = attr(TCA_HTB_PARMS, parms)
    if rate > _MAX_U32:
        options += attr_u64(TCA_HTB_RATE64, rate) + attr_u64(TCA_HTB_CEIL64, rate)
    return options


def bfifo(limit: int) -> bytes:
    """Options of a queue in which `limit` bytes may wait."""
    return struct.pack("=I", limit)


# ---- acts --------------------------------------------------------------------------------------


def add_qdisc(
    nl: Netlink,
    index: int,
    kind: str,
    options: bytes = b"",
    *,
    parent: int = ROOT,
    handle: int = 0,
) -> None:
    """Put a queueing discipline on a link; `handle` 0 lets the kernel choose.

    Raises NetlinkError, EEXIST where another one is that is not the kernel's own choice.
    """
    payload = _TCMSG.pack(0, index, handle, parent, 0) + attr_str(TCA_KIND, kind)
    if options:
        # A fifo's are a bare structure, those of the others attributes.
        payload += attr(TCA_OPTIONS, options) if kind == "bfifo" else nested(TCA_OPTIONS, options)
    what = f"add the {kind} queueing discipline to interface {index}"
    nl.request(RTM_NEWQDISC, payload, NLM_F_CREATE | NLM_F_EXCL, what)


def delete_qdisc(nl: Netlink, index: int, parent: int = ROOT, *, missing_ok: bool = False) -> bool:
    """Take the queueing discipline at `parent` from a link, with its classes and filters.

    False when there was none but the kernel's own choice. Raises NetlinkError, ENOENT or EINVAL
    then when `missing_ok` is not set.
    """
    payload = _TCMSG.pack(0, index, 0, parent, 0)
    try:
        nl.request(RTM_DELQDISC, payload, 0, f"remove what queues on interface {index}")
    except NetlinkError as error:
        if missing_ok and error.errno in (errno.ENOENT, errno.EINVAL, errno.ENODEV):
            return False
        raise
    return True


def qdisc(nl: Netlink, index: int, parent: int = ROOT) -> Qdisc | None:
    """The queueing discipline at `parent`; None where the kernel's own choice is, or no link."""
    payload = _TCMSG.pack(0, index, 0, parent, 0)
    try:
        # The answer is an announcement, which comes to whoever asks for an echo.
        answers = nl.request(RTM_GETQDISC, payload, NLM_F_ECHO, f"find what queues on {index}")
    except NetlinkError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL, errno.ENODEV):
            return None
        raise
    return Qdisc(answers[0][1]) if answers else None


def add_class(nl: Netlink, index: int, classid: int, options: bytes) -> None:
    """Add a class to the htb of which it has the major number. Raises NetlinkError."""
    payload = _TCMSG.pack(0, index, classid, classid & 0xFFFF0000, 0)
    payload += attr_str(TCA_KIND, "htb") + nested(TCA_OPTIONS, options)
    what = f"add class {shown(classid)} to interface {index}"
    nl.request(RTM_NEWTCLASS, payload, NLM_F_CREATE | NLM_F_EXCL, what)


def classes(nl: Netlink, index: int) -> list[Qdisc]:
    """The classes on a link. Raises NetlinkError."""
    payload = _TCMSG.pack(0, index, 0, 0, 0)
    answers = nl.dump(RTM_GETTCLASS, payload, f"list the classes of interface {index}")
    return [Qdisc(body) for _type, body in answers]


def add_filter(
    nl: Netlink,
    index: int,
    parent: int,
    *,
    priority: int,
    protocol: int,
    keys: Iterable[tuple[int, int, int]] = (),
    classid: int = 0,
    redirect: int = 0,
) -> None:
    """Add a u32 filter, of `Filter`'s terms; without keys it takes every packet.

    Filters of one priority are of one protocol. Raises NetlinkError.
    """
    terms = tuple(keys) or ((0, 0, 0),)
    selector = _U32_SEL.pack(TC_U32_TERMINAL, 0, len(terms), 0, 0, 0)
    for offset, value, mask in terms:
        selector += _U32_KEY.pack(mask, value) + _U32_PLACE.pack(offset, 0)
    options = attr_u32(TCA_U32_CLASSID, classid) if classid else b""
    options += attr(TCA_U32_SEL, selector)
    if redirect:
        parms = _MIRRED.pack(0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, redirect)
        action = attr_str(TCA_ACT_KIND, "mirred")
        action += nested(TCA_ACT_OPTIONS, attr(TCA_MIRRED_PARMS, parms))
        options += nested(TCA_U32_ACT, nested(1, action))
    payload = _TCMSG.pack(0, index, 0, parent, priority << 16 | _socket.htons(protocol))
    payload += attr_str(TCA_KIND, "u32") + nested(TCA_OPTIONS, options)
    what = f"add a filter to interface {index}"
    nl.request(RTM_NEWTFILTER, payload, NLM_F_CREATE | NLM_F_EXCL, what)


def filters(nl: Netlink, index: int, parent: int) -> list[Filter]:
    """The u32 filters below a queueing discipline, by priority; none where that is not there."""
    payload = _TCMSG.pack(0, index, 0, parent, 0)
    try:
        answers = nl.dump(RTM_GETTFILTER, payload, f"list the filters of interface {index}")
    except NetlinkError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENODEV):
            return []
        raise
    found = [Filter(body) for _type, body in answers]
    return [one for one in found if one.keys]  # the others are the tables that hold them
