"""ADD: shape the host's end of the container's pair, and for what the container sends a device."""

from __future__ import annotations

import errno

from cni.errors import IN_THE_WAY, INVALID_CONFIG, CniError
from cni.record import replace
from cni.result import Interface
from cni_bandwidth import device, shape
from hostnet import link
from hostnet.netlink import Netlink, NetlinkError
from hostnet.netns import NetNS
from hostnet.undo import Undo
from wiring import veth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_bandwidth.config import Config, Limit
    from hostnet.link import Link


def add(call: Call, config: Config, result: Result) -> Result:
    """Limit both directions or, raising CniError or OSError, none.

    The result gets the device, the last of its interfaces.
    """
    with Netlink() as nl, Undo() as undo:
        port = require_port(nl, call, result)
        if config.ingress is not None:
            _shape(nl, port, config.ingress, config, undo)
        if config.egress is None:
            return result
        made = undo.step(
            lambda: device.create(nl, call, port),
            lambda found: link.delete(nl, found.index, missing_ok=True),
        )
        # Before it is up: the kernel would have to quiet it first.
        shape.put_on_new(
            nl, made.index, shape.shape(config.egress, config, made.mtu, ingress=False)
        )
        device.prepare(nl, call, made)
        undo.step(lambda: _redirect(nl, port, made), lambda _: device.stop(nl, port))
        told = Interface(made.name, mac=made.mac, mtu=made.mtu)
        return replace(result, interfaces=_with(result.interfaces, told))


def _with(interfaces: tuple[Interface, ...], told: Interface) -> tuple[Interface, ...]:
    """The interfaces and one more, in the place of its namesake where there is one.

    Addresses name their interface by its place.
    """
    if any(one.name == told.name for one in interfaces):
        return tuple(told if one.name == told.name else one for one in interfaces)
    return (*interfaces, told)


def require_port(nl: Netlink, call: Call, result: Result) -> Link:
    """The host's end of the container's pair. Raises CniError(INVALID_CONFIG), OSError."""
    with NetNS.open(call.netns) as ns, ns.netlink() as inside:
        inner = link.find_index(inside, call.ifname)
    names = (one.name for one in result.interfaces if not one.sandbox)
    found = veth.find(nl, call.owner, names, inner)
    if not inner or found is None:
        raise CniError(
            INVALID_CONFIG,
            f'key "prevResult.interfaces": it has no interface of the host that is the veth peer '
            f"of {call.ifname} in {call.netns}, expected one: bandwidth needs a plugin before it "
            "that makes such a pair, as bridge and ptp do",
        )
    return found


def _shape(nl: Netlink, on: Link, limit: Limit, config: Config, undo: Undo) -> None:
    wanted = shape.shape(limit, config, on.mtu, ingress=True)

    def put() -> None:
        try:
            shape.put(nl, on.index, wanted)
        except NetlinkError as error:
            if error.errno == errno.EEXIST:
                raise _queued(on, "root") from error
            raise

    undo.step(put, lambda _: shape.remove(nl, on.index))


def _redirect(nl: Netlink, port: Link, made: Link) -> None:
    try:
        device.redirect(nl, port, made)
    except NetlinkError as error:
        if error.errno == errno.EEXIST:
            raise _queued(port, "ingress") from error
        raise


def _queued(on: Link, where: str) -> CniError:
    return CniError(
        IN_THE_WAY,
        f"interface {on.name} has a queueing discipline already: DEL before another ADD, or "
        f"tc qdisc delete dev {on.name} {where}",
    )
