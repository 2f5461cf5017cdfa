"""Bridge ports that may only send with their own MAC: frames with another source are dropped.

    table bridge pycni_macspoof {
        map ports { type ifname : verdict; elements = { "veth1" : jump veth1 } }
        chain prerouting { type filter hook prerouting priority -300; iifname vmap @ports }
        chain veth1 { ether saddr != 02:00:5e:10:00:01 drop }
    }

One look-up for each frame, whatever the number of ports, and everything of a port bears its name.
"""

from __future__ import annotations

import struct

from hostnet import nft
from hostnet.netlink import parse, to_str
from hostnet.nftable import CHAIN_NAME, CHAIN_TABLE, GETCHAIN, chain_exists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostnet.netfilter import Netfilter

NAME = "pycni_macspoof"
_TABLE = f"bridge {NAME}"
_HOOKED = "prerouting"

_BRIDGE = struct.pack("!BBH", 7, 0, 0)  # NFPROTO_BRIDGE, <linux/netfilter.h>; struct nfgenmsg


def add(port: str, mac: str) -> None:
    """Let `port` send from this MAC only; in one transaction, and again without harm.

    The thread is in the bridge's namespace. Raises NftError.
    """
    chain = nft.name(port)
    nft.run(
        f"add table {_TABLE}\n"
        f"add map {_TABLE} ports {{ type ifname : verdict; }}\n"
        f"add chain {_TABLE} {_HOOKED} {{ type filter hook prerouting priority -300; }}\n"
        f"flush chain {_TABLE} {_HOOKED}\n"
        f"add rule {_TABLE} {_HOOKED} iifname vmap @ports\n"
        f"add chain {_TABLE} {chain}\n"
        f"flush chain {_TABLE} {chain}\n"
        f"add rule {_TABLE} {chain} ether saddr != {nft.words(mac)} drop\n"
        f"add element {_TABLE} ports {{ {_element(chain)} }}\n"
    )


def remove(nl: Netfilter, port: str) -> None:
    """Lift it; one look-up where there is nothing.

    Raises NftError, NetlinkError.
    """
    if _exists(nl, port):
        nft.run(
            # Added first: somebody may have flushed the map, and what is missing cannot be deleted.
            f"add element {_TABLE} ports {{ {_element(nft.name(port))} }}\n"
            f"delete element {_TABLE} ports {{ {_element(nft.name(port))} }}\n"
            f"flush chain {_TABLE} {port}\n"
            f"delete chain {_TABLE} {port}\n"
        )


def remove_strangers(nl: Netfilter, keep: Iterable[str]) -> None:
    """Lift it for all ports but these. Raises NftError, NetlinkError."""
    for port in sorted(_ports(nl) - set(keep)):
        remove(nl, port)


def problems(nl: Netfilter, port: str, mac: str) -> list[str]:
    """What `add` of the same would have to change, in words. Raises NftError, NetlinkError."""
    if not _exists(nl, port):
        return [f"port {port} may send from any MAC: the table {_TABLE} does not know it"]
    found = nft.run(f"list table {_TABLE}")
    wanted = {
        f"ether saddr != {mac} drop": f"the check of its frames against {mac}",
        _element(port): "its element in the map ports",
        "iifname vmap @ports": "the look-up of ports",
    }
    return [
        f"port {port} may send from any MAC: {what} is missing from the table {_TABLE}"
        for text, what in wanted.items()
        if text not in found
    ]


def _element(port: str) -> str:
    return f'"{port}" : jump {port}'


def _exists(nl: Netfilter, port: str) -> bool:
    return chain_exists(nl, NAME, port, _BRIDGE)


def _ports(nl: Netfilter) -> set[str]:
    found = set()
    for _type, body in nl.dump(GETCHAIN, _BRIDGE, "list the chains of bridges"):
        attrs = parse(body, 4)
        if to_str(attrs[CHAIN_TABLE]) == NAME:
            found.add(to_str(attrs[CHAIN_NAME]))
    return found - {_HOOKED}
