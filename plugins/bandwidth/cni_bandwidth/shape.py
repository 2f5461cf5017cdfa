"""How a link is made to send no more than a limit: what there is to be, put there and looked at.

Without subnets that is a token bucket filter. With them it is the reference's `htb`: class 1:48 is
limited and class 1:1 is not, filters choose by the address of the other side, and the default is
what no filter has chosen. Other than in the reference, the limited class has a short queue of its
own (the link's would hold a thousand packets, seconds of them at low rates), and what comes in is
told apart by its source: its destination is always the container.
"""

from __future__ import annotations

import errno

from cni.record import record
from hostnet import tc
from hostnet.netlink import NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.ip import Network
    from cni_bandwidth.config import Config, Limit
    from hostnet.netlink import Netlink

_LATENCY = 40  # parts of a second: what waits longer than 25 ms is dropped, as in the reference
_DEFAULT_BURST = 10  # parts of a second
_FRAME = 18  # Ethernet's header with a VLAN's tag, linux/if_ether.h and linux/if_vlan.h
_UNLIMITED = 100_000_000_000
_MAX_U32 = 2**32 - 1
_SHAPED = tc.handle(1, 48)
_UNSHAPED = tc.handle(1, 1)
_QDISC = tc.handle(1)
# ETH_P_ (linux/if_ether.h), a priority of its own, and where source and destination are
_FAMILIES = {4: (0x0800, 16, 12, 16), 6: (0x86DD, 15, 8, 24)}


@record
class Shape:
    """rate: bytes a second. burst, limit: bytes. filters: protocol, priority, keys, class."""

    rate: int
    burst: int
    limit: int
    default: int = 0
    filters: tuple[tuple[int, int, tuple[tuple[int, int, int], ...], int], ...] = ()


def shape(limit: Limit, config: Config, mtu: int, *, ingress: bool) -> Shape:
    """What a link of this MTU is to be shaped to."""
    frame = mtu + _FRAME
    burst = max(limit.burst or limit.rate // _DEFAULT_BURST, frame)
    if not limit.burst:
        burst = max(burst, 2 * frame)
    burst = min(burst, _MAX_U32)
    chosen, default = (_UNSHAPED, _SHAPED) if config.excluded else (_SHAPED, _UNSHAPED)
    return Shape(
        rate=limit.rate,
        burst=burst,
        limit=min(limit.rate // _LATENCY + burst, _MAX_U32),
        default=default & 0xFFFF if config.subnets else 0,
        filters=tuple(
            (*_FAMILIES[one.version][:2], _keys(one, ingress), chosen) for one in config.subnets
        ),
    )


def _keys(subnet: Network, ingress: bool) -> tuple[tuple[int, int, int], ...]:
    """The 32-bit words of an address that matter; one that matches all where none does."""
    offset = _FAMILIES[subnet.version][2 if ingress else 3]
    value, mask = subnet.network_address.packed, subnet.netmask.packed
    words = (
        (offset + at, int.from_bytes(value[at : at + 4]), int.from_bytes(mask[at : at + 4]))
        for at in range(0, len(value), 4)
    )
    return tuple(word for word in words if word[2]) or ((0, 0, 0),)


def put(nl: Netlink, index: int, wanted: Shape) -> None:
    """Shape the link, or, raising NetlinkError, do nothing.

    EEXIST where the link has a queueing discipline already.
    """
    try:
        put_on_new(nl, index, wanted)
    except BaseException as error:
        if not (isinstance(error, NetlinkError) and error.errno == errno.EEXIST):
            remove(nl, index)
        raise


def put_on_new(nl: Netlink, index: int, wanted: Shape) -> None:
    """Shape a link that nobody else uses yet; raising NetlinkError, it may be half done."""
    if wanted.filters:
        _put_classes(nl, index, wanted)
    else:
        options = tc.tbf(wanted.rate, wanted.burst, wanted.limit)
        tc.add_qdisc(nl, index, "tbf", options, handle=_QDISC)


def _put_classes(nl: Netlink, index: int, wanted: Shape) -> None:
    tc.add_qdisc(nl, index, "htb", tc.htb(wanted.default), handle=_QDISC)
    tc.add_class(nl, index, _SHAPED, tc.htb_class(wanted.rate, wanted.burst))
    tc.add_class(nl, index, _UNSHAPED, tc.htb_class(_UNLIMITED, _UNLIMITED // 100))
    tc.add_qdisc(nl, index, "bfifo", tc.bfifo(wanted.limit), parent=_SHAPED)
    for protocol, priority, keys, classid in wanted.filters:
        tc.add_filter(
            nl, index, _QDISC, priority=priority, protocol=protocol, keys=keys, classid=classid
        )


def remove(nl: Netlink, index: int) -> None:
    """Take what `put` or the reference has put there; nothing of anybody else's."""
    found = tc.qdisc(nl, index)
    if found is not None and found.kind in ("tbf", "htb") and found.handle == _QDISC:
        tc.delete_qdisc(nl, index, missing_ok=True)


def problems(nl: Netlink, index: int, name: str, wanted: Shape) -> Iterator[str]:
    """How the link is shaped otherwise, or not at all."""
    found = tc.qdisc(nl, index)
    kind = "htb" if wanted.filters else "tbf"
    if found is None or found.kind not in (kind, "htb") or found.handle != _QDISC:
        there = found.kind if found is not None else "none"
        yield f"interface {name} has the queueing discipline {there}, expected {kind}"
    elif found.kind == "tbf":
        yield from _rate_problems(found, wanted, f"interface {name}")
        if found.limit != wanted.limit:
            yield f"interface {name} lets {found.limit} bytes wait, expected {wanted.limit}"
    else:
        yield from _htb_problems(nl, index, name, found, wanted)


def _rate_problems(found: tc.Qdisc, wanted: Shape, where: str) -> Iterator[str]:
    if found.rate != wanted.rate:
        yield f"{where} has the rate {found.rate * 8} bit/s, expected {wanted.rate * 8}"
        return
    expected = tc.ticks(wanted.rate, wanted.burst)
    expected = expected & _MAX_U32 if found.kind == "tbf" else min(expected, _MAX_U32)
    if abs(found.buffer - expected) > expected // 1000 + 1:  # the kernel rounds
        burst = found.buffer * tc.TICK_NS * found.rate // 1_000_000_000
        yield f"{where} has a burst of {burst * 8} bits, expected {wanted.burst * 8}"


def _htb_problems(
    nl: Netlink, index: int, name: str, found: tc.Qdisc, wanted: Shape
) -> Iterator[str]:
    """The reference has an htb without filters where we have a tbf; of it the rate is looked at."""
    default = wanted.default or _SHAPED & 0xFFFF
    if found.default != default:
        yield f"interface {name} has the default class 1:{found.default:x}, expected 1:{default:x}"
    classes = {one.handle: one for one in tc.classes(nl, index)}
    shaped, unshaped = classes.get(_SHAPED), classes.get(_UNSHAPED)
    if shaped is None:
        yield f"interface {name} lacks the class {tc.shown(_SHAPED)} of what is limited"
    elif wanted.filters:
        yield from _rate_problems(shaped, wanted, f"class {tc.shown(_SHAPED)} of interface {name}")
        queue = tc.qdisc(nl, index, _SHAPED)
        limit = queue.limit if queue is not None else 0
        if limit != wanted.limit:
            yield f"interface {name} lets {limit} bytes wait, expected {wanted.limit}"
    elif shaped.rate != wanted.rate:
        yield f"interface {name} has the rate {shaped.rate * 8} bit/s, expected {wanted.rate * 8}"
    if wanted.filters and (unshaped is None or unshaped.rate != _UNLIMITED):
        yield f"interface {name} lacks the class {tc.shown(_UNSHAPED)} of what is not limited"
    present = {
        (one.protocol, one.priority, one.keys, one.classid) for one in tc.filters(nl, index, _QDISC)
    }
    expected = set(wanted.filters)
    if present != expected:
        yield (
            f"interface {name} has {len(present & expected)} of the {len(expected)} filters for "
            f"subnets, and {len(present - expected)} others"
        )
