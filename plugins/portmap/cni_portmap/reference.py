"""Ports that the reference's nftables backend published, which its containers leave to us.

    table ip cni_hostport, and ip6
        hostports, hostip_hostports: … dnat to 10.1.0.2:80 comment "c1"
        masquerading: ip saddr 10.1.0.2 ip daddr 10.1.0.2 masquerade comment "c1"

The comment is the container's name, without its network, so with several networks it takes the
container's address to tell them apart.
"""

from __future__ import annotations

from ipaddress import ip_address

from cni_portmap import flows
from cni_portmap.config import PROTOCOLS
from cni_portmap.tables import Published
from hostnet import nft
from hostnet.nftable import rule_handles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from hostnet.netfilter import Netfilter

TABLE = "cni_hostport"
FAMILIES = {"ip": 4, "ip6": 6}
_CHAINS = ("hostports", "hostip_hostports", "masquerading")


def remove(nl: Netfilter, container: str, addresses: Collection[str]) -> None:
    """Remove the container's rules and make the kernel forget its UDP flows.

    addresses: of the attachment that goes, empty where nobody knows them. Raises NftError,
    NetlinkError.
    """
    commands: list[str] = []
    held: list[Published] = []
    for family, version in FAMILIES.items():
        for chain in _CHAINS:
            of = [
                handle
                for handle, comment in rule_handles(nl, family, TABLE, chain)
                if comment == container
            ]
            if not of:
                continue
            lines = nft.run(f"list chain {family} {TABLE} {chain}").splitlines()
            texts = [one for one in lines if one.endswith(f'comment "{container}"')]
            for handle, text in zip(of, texts, strict=False):
                if addresses and not any(_names(text, one) for one in addresses):
                    continue
                commands.append(f"delete rule {family} {TABLE} {chain} handle {handle}")
                held += _published(text, version)
    if not commands:
        return
    flows.forget(nl, held)
    nft.run("\n".join(commands))
    flows.forget(nl, held)


def _names(text: str, address: str) -> bool:
    return any(
        word == address or word.startswith((f"{address}:", f"[{address}]:"))
        for word in text.split()
    )


def _published(text: str, version: int) -> list[Published]:
    """The port of a rule; none for one that masquerades.

    `ip daddr 192.0.2.1 tcp dport 8080 dnat to 10.1.0.2:80`, or in the first releases `ip protocol
    tcp th dport 8080 dnat ip to 10.1.0.2 . 80`.
    """
    words = text.replace(" . ", ":").split()
    if "dnat" not in words or "dport" not in words:
        return []
    protocol = next((number for name, number in PROTOCOLS.items() if name in words), None)
    address, _, port = words[words.index("to") + 1].rpartition(":")
    host = words[words.index("daddr") + 1] if "daddr" in words else ""
    try:
        return [
            Published(
                version=version,
                protocol=protocol or 0,
                host_port=int(words[words.index("dport") + 1]),
                host=ip_address(host) if host else None,
                container=ip_address(address.strip("[]")),
                container_port=int(port),
            )
        ]
    except ValueError:  # not as the reference writes it
        return []
