"""Bridge ports that may only send with their own MAC: frames with another source are dropped.

    table bridge pycni_macspoof {
        map ports { type ifname : verdict; elements = { "veth1" : jump veth1 } }
        chain prerouting { type filter hook prerouting priority -300; iifname vmap @ports }
        chain veth1 { ether saddr != 02:00:5e:10:00:01 drop }
    }

One look-up for each frame, whatever the number of ports, and everything of a port bears its name.
"""

from __future__ import annotations

from hostnet import condition, nft
from hostnet.lock import NamespaceLock
from hostnet.netfilter import header
from hostnet.netlink import parse, to_str
from hostnet.nfchain import CHAIN_NAME, CHAIN_TABLE, GETCHAIN, chain_exists
from hostnet.nfelement import VERDICT, Element, Map, get
from hostnet.nftable import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostnet.netfilter import Netfilter

NAME = "pycni_macspoof"
_TABLE = f"bridge {NAME}"
_HOOKED = "prerouting"
_PORTS = Map(NAME, "ports", "ifname", VERDICT, family="bridge")

_BRIDGE = header("bridge")


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


def restore(nl: Netfilter, port: str, mac: str) -> bool:
    """`add` where something of it is missing; whether it was. Raises NftError, NetlinkError.

    Under the lock of the namespace, in which a port of this name is made: there is no other one
    meanwhile, which has another MAC.
    """
    nl.look_again()
    chain = nft.name(port)
    if _is_whole(nl, chain):
        return False
    with NamespaceLock():
        condition.require(f"check the MAC of port {port} with nftables")
        add(port, mac)
    nl.forget()
    return True


def _is_whole(nl: Netfilter, chain: str) -> bool:
    """Whether everything is there that `add` makes; what the rules say is not looked at."""
    return (
        len(rules(nl, NAME, _HOOKED, "bridge")) == 1
        and len(rules(nl, NAME, chain, "bridge")) == 1
        and get(nl, Element(_PORTS, (chain,))) is not None
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


def strangers(nl: Netfilter, keep: Iterable[str]) -> list[str]:
    """All ports it is laid on but these. Raises NetlinkError."""
    return sorted(_ports(nl) - set(keep))


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
