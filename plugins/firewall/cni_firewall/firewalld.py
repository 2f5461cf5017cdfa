"""The backend for hosts with firewalld: containers' addresses become sources of a zone of it.

firewalld rejects what it does not know, whatever the tables of others accept, and only a zone can
change that. A zone's source is known to firewalld until it is reloaded or stopped, and to nobody
else, so whose an address is stands in our own table.
"""

from __future__ import annotations

import errno

from cni.errors import IN_THE_WAY, INVALID_CONFIG, NOT_AVAILABLE, CniError
from cni_firewall.bus import Bus, BusError
from cni_firewall.guarded import ZONED
from cni_firewall.tables import CONTAINERS, REGISTRY
from hostnet import condition
from hostnet.nfdraft import Draft
from hostnet.nfelement import Element

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cni.ip import Address
    from cni_firewall.guarded import Guarded
    from hostnet.netfilter import Netfilter

NAME = "org.fedoraproject.FirewallD1"
_ZONES = (NAME, "/org/fedoraproject/FirewallD1", f"{NAME}.zone")
_ABSENT = (errno.ENOENT, errno.ECONNREFUSED)


def connect(environ: Mapping[str, str]) -> Bus | None:
    """The system bus, if there is one and firewalld is on it. Raises OSError."""
    bus = _open(environ)
    if bus is None:
        return None
    try:
        if bus.has(NAME):
            return bus
    except BaseException:
        bus.close()
        raise
    bus.close()
    return None


def listen(environ: Mapping[str, str]) -> Bus | None:
    """The system bus, if there is one, to hear by `take` when firewalld starts or was loaded anew.

    Either makes it forget the sources of its zones. Raises OSError.
    """
    bus = _open(environ)
    if bus is None:
        return None
    try:
        bus.listen(f"type='signal',interface='{NAME}',member='Reloaded'")
        bus.listen(f"type='signal',member='NameOwnerChanged',arg0='{NAME}'")
    except BaseException:
        bus.close()
        raise
    return bus


def _open(environ: Mapping[str, str]) -> Bus | None:
    try:
        return Bus(environ.get("DBUS_SYSTEM_BUS_ADDRESS", ""))
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def require(environ: Mapping[str, str]) -> Bus:
    """The bus that firewalld is on. Raises CniError(NOT_AVAILABLE), OSError."""
    bus = connect(environ)
    if bus is None:
        raise CniError(
            NOT_AVAILABLE,
            'key "backend": found "firewalld", which is not on the system bus: '
            'start it (systemctl start firewalld), or set "backend" to "nftables"',
        )
    return bus


def admit(bus: Bus, zone: str, addresses: Iterable[Address]) -> None:
    """Make the addresses sources of the zone; those that are already stay so.

    Raises CniError: INVALID_CONFIG for a zone that there is not, IN_THE_WAY for an address that is
    in another; OSError.
    """
    for address in addresses:
        source = _source(address)
        try:
            _call(bus, "addSource", zone, source)
        except BusError as error:
            if "ZONE_ALREADY_SET" in error.words:
                continue
            raise _refused(bus, error, zone, source) from error


def restore(bus: Bus, zone: str, addresses: Iterable[Address]) -> bool:
    """`admit` for those that are not sources of the zone; whether any was not. Raises as that."""
    lost = [one for one in addresses if not _is_source(bus, zone, _source(one))]
    if lost:
        condition.require(f'make sources of the zone "{zone}" of firewalld')
        admit(bus, zone, lost)
    return bool(lost)


def _refused(bus: Bus, error: BusError, zone: str, source: str) -> CniError | BusError:
    if "INVALID_ZONE" in error.words:
        return CniError(
            INVALID_CONFIG,
            f'key "firewalldZone": found "{zone}", which firewalld does not have, expected one of '
            "`firewall-cmd --get-zones`",
        )
    if "ZONE_CONFLICT" not in error.words:
        return error
    other = _call(bus, "getZoneOfSource", source)
    return CniError(
        IN_THE_WAY,
        f'firewalld has {source} in its zone "{other}" already, expected none or "{zone}": '
        f"firewall-cmd --zone {other} --remove-source {source}",
    )


def withdraw(nl: Netfilter, environ: Mapping[str, str], held: Iterable[Guarded]) -> None:
    """Take addresses of an owner, who leaves, out of their zones, unless others have them too.

    Where firewalld is not running, no zone has a source. Raises OSError.
    """
    leaving = [
        one.address
        for one in held
        if one.flags & ZONED and one.address is not None and _is_last(nl, one.address)
    ]
    bus = connect(environ) if leaving else None
    if bus is None:
        return
    with bus:
        for address in leaving:
            source = _source(address)
            try:
                zone = _call(bus, "getZoneOfSource", source)
                if zone:
                    _call(bus, "removeSource", str(zone), source)
            except BusError as error:
                if "UNKNOWN_SOURCE" not in error.words:
                    raise


def _is_last(nl: Netfilter, address: Address) -> bool:
    element = Element(CONTAINERS[address.version], (address,))
    return REGISTRY.holders_of(Draft(nl), element) <= 1


def problems(environ: Mapping[str, str], zone: str, addresses: Iterable[Address]) -> Iterator[str]:
    """The addresses that are not sources of the zone, in words. Raises OSError."""
    bus = connect(environ)
    if bus is None:
        yield "firewalld is not on the system bus"
        return
    with bus:
        for address in addresses:
            source = _source(address)
            if not _is_source(bus, zone, source):
                yield f'{source} is not in the zone "{zone}" of firewalld'


def _is_source(bus: Bus, zone: str, source: str) -> bool:
    try:
        return bool(_call(bus, "querySource", zone, source))
    except BusError as error:
        if "INVALID_ZONE" not in error.words:
            raise
        return False


def _source(address: Address) -> str:
    return f"{address}/{address.max_prefixlen}"


def _call(bus: Bus, method: str, *args: str) -> str | bool:
    return bus.call(_ZONES, method, *args)
