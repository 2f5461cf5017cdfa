"""ADD: the VRF, made if it is not there, and the interface in it.

Under the lock of the container's namespace: two calls would make the same VRF, or choose the same
table, or one would remove what the other is about to use.
"""

from __future__ import annotations

import errno

from cni.errors import IN_THE_WAY, CniError
from cni.record import replace
from cni.versions import at_least
from cni_vrf.enslave import enslave, look
from hostnet import link, route, rule, vrf
from hostnet.lock import NamespaceLock
from hostnet.netlink import NetlinkError
from hostnet.netns import NetNS
from hostnet.undo import Undo
from wiring.single.status import unknown_kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_vrf.config import Config
    from hostnet.link import Link
    from hostnet.netlink import Netlink

_MAIN = route.RT_TABLE_MAIN
_RESERVED = frozenset({253, 254, 255})  # default, main and local, linux/rtnetlink.h


def add(call: Call, config: Config, result: Result) -> Result:
    """Put the interface into the VRF or, raising CniError or OSError, leave all as it was.

    The result tells the table in which the routes are now.
    """
    with (
        NetNS.open(call.netns) as ns,
        ns.netlink() as nl,
        NamespaceLock(path=call.netns),
        Undo() as undo,
    ):
        inner = link.get(nl, call.ifname)
        if inner.master:
            master = link.by_index(nl, inner.master)
            raise CniError(
                IN_THE_WAY,
                f"interface {inner.name} has already a master set: {master.name}; expected none: "
                "DEL before another ADD",
            )
        device = find(nl, config)
        if device is None:
            device = undo.step(
                lambda: _create(nl, config),
                lambda made: link.delete(nl, made.index, missing_ok=True),
            )
        elif not device.up:
            link.set_up(nl, device.index)
        table = vrf.table_of(device)
        held = look(nl, inner)
        # Noted first: what fails in it may have been done in part.
        undo.push(enslave, ns, nl, held, 0, _MAIN)
        enslave(ns, nl, held, device.index, table)
        return _told(result, table) if at_least(call.version, "0.3.0") else result


def find(nl: Netlink, config: Config) -> Link | None:
    """The VRF of the config, None where there is none.

    Raises CniError(IN_THE_WAY) for something else of its name and for another table.
    """
    found = link.find(nl, config.name)
    if found is None:
        return None
    if found.kind != vrf.KIND:
        raise CniError(
            IN_THE_WAY,
            f'key "vrfname": interface {config.name} of the container is a '
            f"{found.kind or 'physical interface'}, expected a VRF, or no such interface",
        )
    table = vrf.table_of(found)
    if config.table not in (0, table):
        raise CniError(
            IN_THE_WAY,
            f"VRF {config.name} already exist with different routing table {table}, and the "
            f'config has {config.table}: remove the key "table", or choose another "vrfname"',
        )
    return found


def _create(nl: Netlink, config: Config) -> Link:
    try:
        return vrf.create(nl, config.name, config.table or _free_table(nl))
    except NetlinkError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise unknown_kind(vrf.KIND) from error
        # There was none, and the lock is ours: one that is there now was made all the same.
        made = link.find(nl, config.name)
        if made is not None and made.kind == vrf.KIND:
            link.delete(nl, made.index, missing_ok=True)
        raise


def _free_table(nl: Netlink) -> int:
    """The first table from 1 on that no VRF, rule or route uses."""
    used = set(_RESERVED)
    used.update(vrf.table_of(one) for one in link.dump(nl, kind=vrf.KIND))
    used.update(one.table for one in rule.dump(nl))
    for family in (route.AF_INET, route.AF_INET6):
        used.update(one.table for one in route.dump(nl, family, table=0))
    number = 1
    while number in used:
        number += 1
    return number


def _told(result: Result, table: int) -> Result:
    return replace(
        result,
        routes=tuple(
            replace(one, table=table) if one.table in (None, 0, _MAIN) else one
            for one in result.routes
        ),
    )
