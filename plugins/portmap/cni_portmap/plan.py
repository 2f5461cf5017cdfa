"""From the config and the previous result to what is to be published, as data."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni_portmap.config import PROTOCOLS
from cni_portmap.tables import ALL, GATED, NEAR, Published

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as Dictionary

    from cni.ip import Address, Network
    from cni.result import IPConfig, Result
    from cni_portmap.config import Config, Mapping

_NAMES = {number: name for name, number in PROTOCOLS.items()}


def container_addresses(result: Result, ifname: str) -> dict[int, Address]:
    """By IP version, the first address of the container's interface in the previous result.

    As the reference has it, an address that names no interface counts; one of an interface that
    has another name or is on the host does not.
    """
    found: dict[int, Address] = {}
    for config in result.ips:
        if _is_containers(result, config, ifname):
            found.setdefault(config.address.version, config.address.ip)
    return found


def container_networks(result: Result, ifname: str) -> dict[int, Network]:
    """By IP version, the subnet of the address that `container_addresses` gives."""
    found: dict[int, Network] = {}
    for config in result.ips:
        if _is_containers(result, config, ifname):
            found.setdefault(config.address.version, config.address.network)
    return found


def _is_containers(result: Result, config: IPConfig, ifname: str) -> bool:
    if config.interface is None or config.interface >= len(result.interfaces):
        return True
    interface = result.interfaces[config.interface]
    return interface.name == ifname and bool(interface.sandbox)


def publish(
    config: Config, addresses: Dictionary[int, Address], links: Dictionary[int, str]
) -> list[Published]:
    """What the config's mappings come to.

    addresses: the container's, by IP version. links: the host's links towards them, where known.
    Not a mapping that the container has no address for, see `unreachable`. Raises
    CniError(INVALID_CONFIG) for mappings that exclude each other.
    """
    found: list[tuple[Mapping, Published]] = []
    for mapping in config.mappings:
        for version in (one for one in mapping.versions if one in addresses):
            one = Published(
                version=version,
                protocol=mapping.protocol,
                host_port=mapping.host_port,
                host=mapping.host,
                container=addresses[version],
                container_port=mapping.container_port,
                link=links.get(version, ""),
                flags=_flags(config, version),
            )
            if _is_new(mapping, one, found):
                found.append((mapping, one))
    return [one for _mapping, one in found]


def _flags(config: Config, version: int) -> int:
    flags = GATED if version in config.conditions else 0
    if config.snat and config.masq_all:
        flags |= ALL
    elif config.snat:
        flags |= NEAR
    return flags


def unreachable(
    config: Config, addresses: Dictionary[int, Address]
) -> Iterator[tuple[Mapping, str]]:
    """The mappings for which nothing is published although somebody meant it, each with the reason.

    No error, as in the reference: some runtimes send a container's ports to all of its networks,
    of which one may have no addresses, or those of one IP version. They also publish at 0.0.0.0
    and :: alike, whatever the container has; the one that it lacks is nothing to tell.
    """
    for mapping in config.mappings:
        if not addresses:
            yield mapping, "the container's interface has no address in prevResult"
        elif mapping.host is not None and mapping.host.version not in addresses:
            version = mapping.host.version
            yield mapping, f"the container has no IPv{version} address to lead {mapping.host} to"


def _is_new(mapping: Mapping, one: Published, before: list[tuple[Mapping, Published]]) -> bool:
    """False for a repetition. Raises CniError where two mappings exclude each other."""
    for other, published in before:
        if published.key != one.key:
            continue
        if published == one:
            return False
        if published.host is None or one.host is None or published.host == one.host:
            raise CniError(
                INVALID_CONFIG,
                f'key "{mapping.place}": host port {shown(one)} is in {other.place} already '
                f"as {shown(published)}, expected each port once",
            )
    return True


def shown(one: Published) -> str:
    """A published port as people write it: 0.0.0.0:8080/tcp, [fd00::1]:53/udp."""
    host = str(one.host) if one.host is not None else "0.0.0.0" if one.version == 4 else "::"  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{one.host_port}/{_NAMES.get(one.protocol, one.protocol)}"
