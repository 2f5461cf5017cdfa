"""What the kernel says: links, published ports, masqueraded and guarded addresses.

It acts in the network namespace of the calling thread. What the packet filter knows of owners is
found by their hash, since a comment may be too short for a long name.
"""

from __future__ import annotations

from cni.errors import SYSTEM, CniError
from cni_firewall import tables as firewall
from cni_portmap import by_iptables
from cni_portmap import tables as portmap
from cni_portmap.config import PROTOCOLS
from cnitool.state.model import (
    IPTABLES,
    NFTABLES,
    PENDING,
    PUBLISHED,
    WAITING,
    HostLink,
    Mapping,
)
from hostnet import link, masquerade, netfilter
from hostnet.iptables_look import Here
from hostnet.netlink import Netlink
from hostnet.nfowner import Owner
from wiring import xtables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Address, Interface
    from cni_portmap.tables import Published
    from hostnet.netfilter import Netfilter

_NAMES = {number: name for name, number in PROTOCOLS.items()}


class Links:
    """The host's links by name, with the bridges' and other masters' names filled in."""

    def __init__(self) -> None:
        with Netlink() as nl:
            found = link.dump(nl)
        names = {one.index: one.name for one in found}
        self.all = [
            HostLink(
                name=one.name,
                index=one.index,
                kind=one.kind,
                mac=one.mac,
                mtu=one.mtu,
                up=one.up,
                carrier=one.carrier,
                master=names.get(one.master, ""),
                alias=one.alias,
            )
            for one in found
        ]
        self.by_name = {one.name: one for one in self.all}


class Filter:
    """What the packet filter has, by owner. names: of owners whose comment may be trusted whole."""

    def __init__(self, problems: list[CniError]) -> None:
        self.names: set[str] = set()
        self._mappings: dict[str, list[Mapping]] = {}
        self._masqueraded: dict[str, list[Interface]] = {}
        self._guarded: dict[str, list[Address]] = {}
        self._labelled: dict[str, list[Mapping]] = {}
        nl = netfilter.find()
        try:
            if nl is not None:
                self._read_nftables(nl)
            self._read_iptables(nl)
        except OSError as error:
            problems.append(CniError(SYSTEM, f"the packet filter cannot be read: {error}"))
        finally:
            if nl is not None:
                nl.close()

    def _read_nftables(self, nl: Netfilter) -> None:
        owners: dict[str, Owner] = {}
        for owner, values in portmap.REGISTRY.listing(nl):
            owners[owner.member] = owner
            one = _mapping(portmap.unpack(values), NFTABLES)
            self._mappings.setdefault(owner.member, []).append(one)
        for owner, address in masquerade.listing(nl):
            owners[owner.member] = owner
            self._masqueraded.setdefault(owner.member, []).append(address)
        for owner, values in firewall.REGISTRY.listing(nl):
            owners[owner.member] = owner
            guarded = firewall.unpack(values).address
            if guarded is not None:
                self._guarded.setdefault(owner.member, []).append(guarded)
        self.names.update(one.name for one in owners.values() if one.is_whole)

    def _read_iptables(self, nl: Netfilter | None) -> None:
        for label, published in by_iptables.listing(Here.settled(nl)):
            self._labelled.setdefault(label, []).append(_mapping(published, IPTABLES))
            if label.count("/") == 2:
                self.names.add(label)

    def mappings(self, owner: str, member: str) -> tuple[Mapping, ...]:
        """member: the owner's hash, as of all that follow."""
        labelled = self._labelled.get(xtables.label(owner), []) if self._labelled else []
        return (*self._mappings.get(member, []), *labelled)

    @property
    def unlabelled(self) -> tuple[Mapping, ...]:
        """Ports published by rules that name nobody: the reference's."""
        return tuple(self._labelled.get("", []))

    def masqueraded(self, member: str) -> tuple[Interface, ...]:
        return tuple(self._masqueraded.get(member, []))

    def guarded(self, member: str) -> tuple[Address, ...]:
        return tuple(self._guarded.get(member, []))


def _mapping(one: Published, backend: str) -> Mapping:
    state = PENDING if one.flags & portmap.PENDING else PUBLISHED
    return Mapping(
        protocol=_NAMES.get(one.protocol, str(one.protocol)),
        host=one.host,
        host_port=one.host_port,
        container=one.container,
        container_port=one.container_port,
        state=WAITING if one.flags & portmap.WAITING else state,
        backend=backend,
    )
