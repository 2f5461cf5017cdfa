"""Everything there is, joined by attachment, and where the sources contradict each other."""

from __future__ import annotations

from cni.record import record, replace
from cnitool.state import reservations
from cnitool.state.conflicts import conflicts
from cnitool.state.kernel import Filter, Links
from cnitool.state.model import Attachment
from hostnet.nfowner import Owner
from libcni.confdir import load_networks
from wiring.veth import host_veth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.errors import CniError
    from cnitool.settings import Settings
    from cnitool.state.model import HostLink, Mapping, Reservation
    from libcni.cache import CachedAttachment
    from libcni.conf import NetworkConfigList


@record
class World:
    """networks: those of NETCONFPATH. attachments: by network, container and interface. links: of
    the host. strange_mappings: ports published by the reference's rules, which name nobody; an
    attachment has them too where the address is that of no other. problems: files that cannot be
    read."""

    networks: tuple[NetworkConfigList, ...]
    attachments: tuple[Attachment, ...]
    links: Links
    strange_mappings: tuple[Mapping, ...]
    problems: tuple[CniError, ...]

    def conflicts(self, one: Attachment) -> list[str]:
        """Where the sources contradict each other about an attachment; see `conflicts`."""
        return list(conflicts(one, self.links))


def read(settings: Settings) -> World:
    """Look at the cache, the IPAM files and the kernel. Raises CniError, OSError."""
    networks, problems = load_networks(settings.conf_dir)
    cached, damaged = settings.runtime().cache.scan()
    problems += damaged
    reserved = [
        one
        for directory in reservations.directories(networks)
        for one in reservations.read(directory, problems)
    ]
    links, packet_filter = Links(), Filter(problems)
    joined = _join(cached, reserved, packet_filter.names | _labelled(links))
    attachments = [_with_kernel(one, links, packet_filter) for one in joined]
    for mapping in packet_filter.unlabelled:
        _give(mapping, attachments)
    return World(
        networks=tuple(networks),
        attachments=tuple(attachments),
        links=links,
        strange_mappings=packet_filter.unlabelled,
        problems=tuple(problems),
    )


def _labelled(links: Links) -> set[str]:
    """The owners that the aliases of veth ends name."""
    return {one.alias for one in links.all if one.alias and host_veth(one.alias) == one.name}


def _join(
    cached: list[CachedAttachment], reserved: list[Reservation], owners: set[str]
) -> list[Attachment]:
    """Every attachment that any source knows."""
    found: dict[tuple[str, str, str], Attachment] = {}

    def of(network: str, container: str, ifname: str) -> Attachment:
        return found.setdefault(
            (network, container, ifname), Attachment(network, container, ifname)
        )

    def put(one: Attachment) -> None:
        found[one.network, one.container_id, one.ifname] = one

    only: dict[tuple[str, str], str] = {}
    for entry in cached:
        put(replace(of(entry.network, entry.container_id, entry.ifname), cached=entry))
        only[entry.network, entry.container_id] = entry.ifname
    for one in reserved:
        ifname = one.ifname or only.get((one.network, one.container_id), "")
        holder = of(one.network, one.container_id, ifname)
        put(replace(holder, reservations=(*holder.reservations, one)))
    for name in owners:
        network, container, ifname = name.split("/")
        of(network, container, ifname)
    return [found[key] for key in sorted(found)]


def _with_kernel(one: Attachment, links: Links, packet_filter: Filter) -> Attachment:
    member = Owner(one.owner).member
    return replace(
        one,
        host_end=_host_end(one, links),
        mappings=packet_filter.mappings(one.owner, member),
        masqueraded=packet_filter.masqueraded(member),
        guarded=packet_filter.guarded(member),
    )


def _give(mapping: Mapping, attachments: list[Attachment]) -> None:
    """To whom the address tells that it is, so that ports can be asked after while containers of
    both suites run. Addresses are not unique: two networks may have the same."""
    found = [
        at
        for at, one in enumerate(attachments)
        if mapping.container in one.ips and one.is_alive is not False
    ]
    if len(found) == 1:
        one = attachments[found[0]]
        if mapping not in one.mappings:  # healed, it has its own as well
            attachments[found[0]] = replace(one, mappings=(*one.mappings, mapping))


def _host_end(one: Attachment, links: Links) -> HostLink | None:
    """Ours has a name made of the identity; the reference's is told by the result alone."""
    ours = links.by_name.get(host_veth(one.owner))
    if ours is not None or one.cached is None or one.cached.result is None:
        return ours
    told = (links.by_name.get(end.name) for end in one.cached.result.interfaces if not end.sandbox)
    return next((end for end in told if end is not None and end.kind == "veth"), None)
