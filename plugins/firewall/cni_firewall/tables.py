"""The nftables tables `inet pycni_firewall` and `bridge pycni_firewall`, and a container in them.

A forwarded packet meets a fixed number of look-ups, whatever the number of containers:

    containers4 { ipv4_addr }        containers' addresses; what is theirs gets the mark PASS
    bridges     { ifname }           bridges of networks that are kept apart from each other
    own         { ifname . ifname }  each of them twice: what stays inside one
    apart       { ifname . ifname }  likewise, where containers are kept apart from each other too
    ports       { ifname }           their ports, in the table of the family bridge
    owners                           whose it is, see hostnet/nfowner.py

and `containers6`. README.md shows the whole of it and says why.

A verdict `accept` ends a table's own chain and no other's, so it cannot let anything through where
another firewall drops. A mark can: one rule in that firewall lets all through that bear it.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from cni_firewall.guarded import ALONE, APART, Guarded
from hostnet.nfelement import Element, Map, mapped, number, unmapped
from hostnet.nfowner import Registry
from hostnet.nftable import Chain, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostnet.nfelement import Values
    from hostnet.nfowner import Owner

NAME = "pycni_firewall"

PASS = 0x1000
"""The bit of a packet's mark that says it is a container's and to be let through. Bit 13 is the
reference's, 14 and 15 Kubernetes', from 16 on Calico's, Weave's and Tailscale's.
"""

CONTAINERS = {v: Map(NAME, f"containers{v}", f"ipv{v}_addr", shared=True) for v in (4, 6)}
BRIDGES = Map(NAME, "bridges", "ifname", shared=True)
OWN = Map(NAME, "own", "ifname . ifname", shared=True)
SEPARATE = Map(NAME, "apart", "ifname . ifname", shared=True)
PORTS = Map(NAME, "ports", "ifname", shared=True, family="bridge")


def pack(one: Guarded) -> Values:
    """The record of `owners`: the address, the links, and as a mark IP version and flags."""
    version = one.address.version if one.address is not None else 0
    address = mapped(one.address) if one.address is not None else IPv6Address(0)
    return address, one.bridge, one.port, version << 4 | one.flags


def unpack(values: Values) -> Guarded:
    """What `pack` was given."""
    address, bridge, port, mark = values
    version = number(mark) >> 4
    return Guarded(
        address=unmapped(address, version) if version else None,
        bridge=str(bridge),
        port=str(port),
        flags=number(mark) & 0xF,
    )


def elements(values: Values, owner: Owner) -> Iterator[Element]:
    """The elements that a record stands for."""
    for element in _elements(unpack(values)):
        element.comment = owner.name
        yield element


def _elements(one: Guarded) -> Iterator[Element]:
    if one.address is not None:
        yield Element(CONTAINERS[one.address.version], (one.address,))
    if one.flags & APART:
        yield Element(BRIDGES, (one.bridge,))
        yield Element(OWN, (one.bridge, one.bridge))
    if one.flags & ALONE:
        yield Element(SEPARATE, (one.bridge, one.bridge))
        if one.port:
            yield Element(PORTS, (one.port,))


ADMIN = "admin"
"""The chain that jumps to the chains with users' own rules."""
_MARK = f"meta mark set mark or {PASS:#x}"


def _marking() -> Iterator[tuple[str, str]]:
    """The rules that mark what is a container's: comment and text."""
    for v, word in ((4, "ip"), (6, "ip6")):
        to = f"{word} daddr @{CONTAINERS[v].name}"
        yield f"answers{v}", f"{to} ct state established,related {_MARK}"
        yield f"published{v}", f"{to} ct status dnat {_MARK}"
        yield f"from{v}", f"{word} saddr @{CONTAINERS[v].name} {_MARK}"
    yield "admin", f"jump {ADMIN}"


REGISTRY = Registry(NAME, "ipv6_addr . ifname . ifname . mark", elements)
# Before the filters of others (NF_IP_PRI_FILTER is 0), which look for the mark.
_EARLY = -10
TABLE = Table(
    NAME,
    (*CONTAINERS.values(), BRIDGES, OWN, SEPARATE, REGISTRY.owners, REGISTRY.holders),
    (
        Chain(ADMIN),
        Chain("through", _marking()),
        Chain(
            "forward",
            (
                ("containers apart", f"iifname . oifname @{SEPARATE.name} counter drop"),
                ("own bridge", f"iifname . oifname @{OWN.name} goto through"),
                (
                    "networks apart",
                    f"iifname @{BRIDGES.name} oifname @{BRIDGES.name} counter drop",
                ),
                ("through", "goto through"),
            ),
            kind="filter",
            hook="forward",
            priority=_EARLY,
        ),
        # The last of all: the mark was for the filters of this host, not for what routes, shapes
        # or wraps the packet up from here on.
        Chain(
            "unmark",
            (
                (
                    "unmark",
                    f"meta mark and {PASS:#x} != 0 meta mark set mark and {~PASS & 0xFFFFFFFF:#x}",
                ),
            ),
            kind="filter",
            hook="postrouting",
            priority=300,
        ),
    ),
)
# What a bridge passes from port to port meets the rules of `inet` only with br_netfilter.
BRIDGED = Table(
    NAME,
    (PORTS,),
    (
        Chain(
            "forward",
            (("containers apart", f"iifname @{PORTS.name} oifname @{PORTS.name} counter drop"),),
            kind="filter",
            hook="forward",
            priority=_EARLY,
        ),
    ),
    family="bridge",
)
