"""Masquerade containers: what they send beyond their own subnet leaves with the host's address.

    table inet pycni_masquerade {
        set sources4   { ipv4_addr }                  containers' addresses
        set inside4_24 { ipv4_addr . ipv4_addr }      address and network of those with a /24
        map owners, map holders                       see `nfowner`
        chain inside   { ip saddr . ip daddr & 255.255.255.0 @inside4_24 accept; … }
        chain leave    { jump inside; masquerade }
        chain postrouting { multicast accept; ip saddr @sources4 goto leave; … }
    }

A packet meets two look-ups, and one for each prefix length in use, however many containers there
are. The natural design, a map from address to `goto` of a chain for each subnet, was measured and
dropped: with every element that goes to a chain the kernel validates all elements of all such maps
anew, 0.05 ms for each 1,000. Also, two networks with overlapping subnets need nothing special here.
"""

from __future__ import annotations

import ipaddress

from hostnet.nfelement import Element, Map, get, mapped, number, unmapped
from hostnet.nfowner import Owner, Registry
from hostnet.nftable import Chain, Table, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from hostnet.netfilter import Netfilter
    from hostnet.nfelement import Values

    Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface

NAME = "pycni_masquerade"

_SOURCES = {
    4: Map(NAME, "sources4", "ipv4_addr", shared=True),
    6: Map(NAME, "sources6", "ipv6_addr", shared=True),
}
_SRCNAT = 100  # NF_IP_PRI_NAT_SRC, <linux/netfilter_ipv4.h>


def add(
    nl: Netfilter, owner: str, addresses: Iterable[Interface], *, thorough: bool = False
) -> bool:
    """Masquerade what comes from exactly these addresses for `owner`; in one transaction.

    owner: "group/…", see `nfowner`; it is also the comment of the elements. addresses: the
    container's, with its prefix length, which says what its subnet is. The calling thread is in
    the namespace of `nl`. Also restores the table's chains where they are damaged; thorough:
    whatever of the table is. False where all was so already. Raises NftError, NetlinkError,
    ContentionError.
    """
    wanted = list(dict.fromkeys(addresses))
    laid = _TABLE.ensure(nl, lambda: _more_lengths(nl, wanted), thorough=thorough)
    return _REGISTRY.give(nl, Owner(owner), [_record(address) for address in wanted]) or laid


def is_known(nl: Netfilter, owner: str) -> bool:
    """Whether this owner has anything. Raises NetlinkError."""
    return bool(_REGISTRY.records(nl, Owner(owner)))


def remove(nl: Netfilter, owner: str) -> None:
    """Remove all that `add` made for this owner, whatever it was; one look-up if it was nothing.

    Raises NetlinkError, ContentionError.
    """
    remove_owner(nl, Owner(owner))


def remove_owner(nl: Netfilter, owner: Owner) -> None:
    """As `remove`, for one that `strangers` has found."""
    _REGISTRY.remove(nl, owner)


def strangers(nl: Netfilter, group: str, keep: Iterable[str]) -> list[Owner]:
    """The owners of this group that are not among `keep` (whole names).

    Lists all owners, those of other groups too. Raises NetlinkError.
    """
    return _REGISTRY.strangers(nl, group, keep)


def listing(nl: Netfilter) -> list[tuple[Owner, Interface]]:
    """Every address that is masqueraded, with its owner. Raises NetlinkError."""
    return [(owner, _address(record)) for owner, record in _REGISTRY.listing(nl)]


def problems(nl: Netfilter, owner: str, addresses: Iterable[Interface]) -> list[str]:
    """What `add` of the same would have to change, in words; empty if nothing.

    Raises NetlinkError.
    """
    found = _TABLE.problems(nl)
    wanted = list(dict.fromkeys(addresses))
    who = Owner(owner)
    held = [_address(record) for record in _REGISTRY.records(nl, who)]
    found += (f"{one} is masqueraded and should not be" for one in held if one not in wanted)
    there = rules(nl, NAME, _INSIDE)
    for address in wanted:
        if address not in held:
            found.append(f"{address} is not masqueraded")
            continue
        for element in _elements(_record(address), who):
            if get(nl, element) is None:
                found.append(f"{address} is not in {element.map.name} of the nftables table {NAME}")
        if address.network.prefixlen and _inside(address).name not in there:
            found.append(f"chain {_INSIDE} lacks the rule for /{address.network.prefixlen}")
    return found


def _record(address: Interface) -> Values:
    """What is kept of an address: itself (an IPv4 one mapped), family and prefix length."""
    return mapped(address.ip), address.version << 8 | address.network.prefixlen


def _address(record: Values) -> Interface:
    mark = number(record[1])
    return ipaddress.ip_interface((unmapped(record[0], mark >> 8), mark & 0xFF))


def _inside(address: Interface) -> Map:
    """The set of the addresses with that one's family and prefix length."""
    version, length = address.version, address.network.prefixlen
    field = f"ipv{version}_addr"
    return Map(NAME, f"inside{version}_{length}", f"{field} . {field}", shared=True)


def _elements(record: Values, owner: Owner) -> list[Element]:
    address = _address(record)
    if address.network.prefixlen == 0:
        return []  # Nothing is outside its subnet.
    network = address.network.network_address
    return [
        Element(_SOURCES[address.version], (address.ip,), comment=owner.name),
        Element(_inside(address), (address.ip, network), comment=owner.name),
    ]


def _inside_rule(address: Interface) -> tuple[str, str]:
    """The rule for the addresses with that one's prefix length: comment and text."""
    word = "ip" if address.version == 4 else "ip6"
    of = _inside(address)
    mask = address.network.netmask
    return of.name, f"{word} saddr . {word} daddr & {mask} @{of.name} accept"


def _more_lengths(nl: Netfilter, addresses: list[Interface]) -> str:
    """The nft commands for prefix lengths that nobody had before."""
    there = rules(nl, NAME, _INSIDE)
    more: dict[str, None] = {}
    for address in addresses:
        comment, rule = _inside_rule(address)
        if comment not in there and address.network.prefixlen:
            more[_inside(address).declaration] = None
            more[f'add rule inet {NAME} {_INSIDE} {rule} comment "{comment}"'] = None
    return "\n".join(more)


_INSIDE = "inside"
_REGISTRY = Registry(NAME, "ipv6_addr . mark", _elements)
_TABLE = Table(
    NAME,
    (*_SOURCES.values(), _REGISTRY.owners, _REGISTRY.holders),
    (
        Chain(_INSIDE),
        Chain("leave", (("own subnet", f"jump {_INSIDE}"), ("beyond", "masquerade"))),
        Chain(
            "postrouting",
            (
                ("multicast4", "ip daddr 224.0.0.0/4 accept"),
                ("multicast6", "ip6 daddr ff00::/8 accept"),
                ("containers4", f"ip saddr @{_SOURCES[4].name} goto leave"),
                ("containers6", f"ip6 saddr @{_SOURCES[6].name} goto leave"),
            ),
            kind="nat",
            hook="postrouting",
            priority=_SRCNAT,
        ),
    ),
)
