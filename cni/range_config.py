"""The configuration of range sets, which IPAM plugins share: host-local's keys, read and checked.

Range sets stand in the `ipam` section and, from the runtime, in `runtimeConfig.ipRanges`; addresses
are asked for in CNI_ARGS, `args.cni.ips` and `runtimeConfig.ips`. Whether a config is right does
not depend on its `cniVersion`, but whether what it gives out can be told does.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface

from cni.errors import INCOMPATIBLE_VERSION, INVALID_CONFIG, INVALID_ENVIRONMENT, CniError
from cni.ip import is_inside, parse_address, parse_interface, parse_network
from cni.jsonvalue import wrong_value
from cni.ranges import RangeSet, overlap, size, whole_range
from cni.record import record
from cni.result import DNS, IPConfig, Result
from cni.versions import at_least
from cni.wire import read_route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cni.call import Call
    from cni.ip import Address, Network
    from cni.jsonvalue import JsonObject, JsonValue
    from cni.ranges import Range
    from cni.result import Route

_SHOWN = 5
"""Items of a list that an error names."""


@record
class RangeConfig:
    """What an IPAM plugin of ranges is told about its addresses.

    sets: each gives one address. requested: the address asked for in the set of the same place, or
    None. resolv_conf: a path, empty for none. report_exhaustion: whether STATUS fails when a set is
    full.
    """

    sets: tuple[RangeSet, ...]
    requested: tuple[Address | None, ...] = ()
    routes: tuple[Route, ...] = ()
    resolv_conf: str = ""
    report_exhaustion: bool = False

    def dns(self) -> DNS:
        """What the file of resolver settings says. Raises CniError."""
        if not self.resolv_conf:
            return DNS()
        from cni.resolvconf import read_resolv_conf

        return read_resolv_conf(self.resolv_conf)

    def result(self, addresses: Iterable[Address], dns: DNS) -> Result:
        """What ADD tells. addresses: one of each set."""
        return Result(ips=tuple(map(_ip_config, self.sets, addresses)), routes=self.routes, dns=dns)


def read_ranges(call: Call) -> RangeConfig:
    """All that is said about addresses. Raises CniError that names the key or the argument."""
    sets = read_sets(call.config)
    ipam = call.config.object("ipam")
    return RangeConfig(
        sets=sets,
        requested=read_requested(call, sets),
        routes=tuple(map(read_route, ipam.objects("routes"))),
        resolv_conf=ipam.string("resolvConf"),
        report_exhaustion=ipam.boolean("reportExhaustion"),
    )


# ---- ranges ------------------------------------------------------------------------------------


def read_sets(config: JsonObject) -> tuple[RangeSet, ...]:
    """All range sets of a whole config, each of which gives one address.

    In the reference's order: the runtime's, `ipam`'s own range, `ipam.ranges`. Raises
    CniError(INVALID_CONFIG) that names the key.
    """
    if not config.has("ipam"):
        raise config.wrong("ipam", 'an object with "ranges"')
    runtime = config.object("runtimeConfig")
    ipam = config.object("ipam")
    excluded = _read_exclude(ipam)
    found = _read_lists(runtime, "ipRanges", excluded)
    own = _read_own_range(ipam, excluded)
    if own is not None:
        found.append(own)
    found += _read_lists(ipam, "ranges", excluded)
    if not found:
        raise CniError(
            INVALID_CONFIG,
            'key "ipam.ranges": no IP ranges specified, expected a list of range sets such as '
            '[[{"subnet": "10.1.0.0/16"}]]',
        )
    clash = overlap(one for each in found for one in each.ranges)
    if clash is not None:
        raise CniError(
            INVALID_CONFIG,
            f"the ranges {clash[0]} and {clash[1]} overlap, expected none in common: correct "
            '"rangeStart" and "rangeEnd" or the subnets in "ipam" and "runtimeConfig.ipRanges"',
        )
    return tuple(found)


def _read_own_range(ipam: JsonObject, excluded: tuple[Network, ...]) -> RangeSet | None:
    """The older form, a single range in `ipam` itself; without a `subnet` it says nothing."""
    if not ipam.string("subnet"):
        for key in ("rangeStart", "rangeEnd", "gateway"):
            ipam.address(key)  # ignored as the reference does, but never of a wrong type
        return None
    own = _read_range(ipam, _read_subnet(ipam))
    return _range_set([own], excluded, "ipam.subnet", ipam.get("subnet"))


def _read_lists(config: JsonObject, key: str, excluded: tuple[Network, ...]) -> list[RangeSet]:
    found = []
    for index, items in enumerate(config.object_lists(key, "a list of ranges, at least one")):
        ranges: list[Range] = []
        exclude: list[Network] = []
        for item in items:
            subnet = _read_subnet(item)
            ranges.append(_read_range(item, subnet))
            exclude += _read_exclude(item, subnet)
        place = f"{config.place(key)}[{index}]"
        value: JsonValue = [item.raw for item in items]
        found.append(_range_set(ranges, (*exclude, *excluded), place, value))
    return found


def _range_set(
    ranges: list[Range], exclude: tuple[Network, ...], place: str, value: JsonValue
) -> RangeSet:
    made = RangeSet(tuple(ranges), exclude)
    if any(one.subnet.version != made.version for one in ranges):
        raise wrong_value(place, value, "ranges of one address family; the other has its own set")
    if not size(made.spans()):
        raise wrong_value(place, value, "at least one address that is neither excluded nor gateway")
    return made


def _read_range(config: JsonObject, subnet: Network) -> Range:
    found = whole_range(
        subnet,
        start=_address_in(config, "rangeStart", subnet),
        end=_address_in(config, "rangeEnd", subnet),
        gateway=_read_gateway(config, subnet),
    )
    if int(found.start) > int(found.end):
        if config.has("rangeEnd"):
            raise config.wrong("rangeEnd", f"an address not before the start, {found.start}")
        raise config.wrong("rangeStart", f"an address not after the end, {found.end}")
    return found


def _read_subnet(config: JsonObject) -> Network:
    given = config.interface("subnet")
    if given is None:
        raise config.wrong("subnet", "a subnet such as 10.1.0.0/16 or 2001:db8::/64")
    subnet = given.network
    if given.ip != subnet.network_address:
        raise config.wrong("subnet", f"no host bits set; the network address is {subnet}")
    if subnet.prefixlen > subnet.max_prefixlen - 2:
        raise config.wrong(
            "subnet",
            f"a prefix length of at most {subnet.max_prefixlen - 2}, for the network is too small "
            "to allocate from",
        )
    if subnet.version == 6 and int(subnet.network_address) >> 48 == 0:
        raise config.wrong("subnet", "an IPv6 subnet that holds no embedded IPv4 addresses")
    return subnet


def _address_in(config: JsonObject, key: str, subnet: Network) -> Address | None:
    address = config.address(key)
    if address is not None and address not in subnet:
        raise config.wrong(key, f"an address in network {subnet}")
    return address


def _read_gateway(config: JsonObject, subnet: Network) -> Address | None:
    """It may lie outside the subnet, as a router's fe80::1 does."""
    gateway = config.address("gateway")
    if gateway is not None and gateway.version != subnet.version:
        raise config.wrong("gateway", f"an IPv{subnet.version} address, as the subnet {subnet} is")
    return gateway


def _read_exclude(config: JsonObject, subnet: Network | None = None) -> tuple[Network, ...]:
    """Addresses and subnets that are not given out. subnet: where they must lie, if anywhere."""
    found = []
    for index, text in enumerate(config.strings("exclude")):
        place = f"{config.place('exclude')}[{index}]"
        try:
            address = parse_address(text) if "/" not in text else None
            net = parse_network(text if address is None else f"{address}/{address.max_prefixlen}")
        except ValueError:
            raise wrong_value(
                place, text, "an IP address or a subnet such as 10.1.0.7 or 10.1.0.16/28"
            ) from None
        if subnet is not None and not is_inside(net, subnet):
            raise wrong_value(place, text, f"an address or a subnet in network {subnet}")
        found.append(net)
    return tuple(found)


# ---- requested addresses -----------------------------------------------------------------------


def read_requested(call: Call, sets: tuple[RangeSet, ...]) -> tuple[Address | None, ...]:
    """The address asked for in the set of the same place, or None.

    Raises CniError: INVALID_CONFIG, or INVALID_ENVIRONMENT for CNI_ARGS.
    """
    return _assign(_read_wanted(call), sets)


def _read_wanted(call: Call) -> list[Address]:
    """The addresses asked for, each once; a prefix length is allowed and ignored."""
    found: dict[Address, None] = {}
    asked = call.args.get("IP", "")
    if asked:
        try:
            found[_parse_requested(asked)] = None
        except ValueError:
            raise CniError(
                INVALID_ENVIRONMENT,
                f"CNI_ARGS: IP: found {asked[:60]!r}, expected an IP address such as 10.1.2.3",
            ) from None
    for config in (call.config.object("args").object("cni"), call.config.object("runtimeConfig")):
        for index, text in enumerate(config.strings("ips")):
            try:
                found[_parse_requested(text)] = None
            except ValueError:
                raise wrong_value(
                    f"{config.place('ips')}[{index}]", text, "an IP address such as 10.1.2.3"
                ) from None
    return list(found)


def _parse_requested(text: str) -> Address:
    return parse_interface(text).ip if "/" in text else parse_address(text)


def _assign(wanted: list[Address], sets: tuple[RangeSet, ...]) -> tuple[Address | None, ...]:
    """Which set gives which of the addresses asked for: every one of them must find its set."""
    left = list(wanted)
    assigned: list[Address | None] = []
    for one in sets:
        mine = next((address for address in left if one.range_of(address) is not None), None)
        if mine is not None:
            left.remove(mine)
        assigned.append(mine)
    if left:
        raise CniError(
            INVALID_CONFIG,
            f"failed to allocate all requested IPs: {_some(left, ' ')}: each range set "
            f"gives one address, expected one in {_some(sets, '; ')}",
        )
    return tuple(assigned)


def _some(items: Sequence[object], between: str) -> str:
    """The first of them in words, and how many more there are."""
    more = [f"and {len(items) - _SHOWN} more"] if len(items) > _SHOWN else []
    return between.join([*map(str, items[:_SHOWN]), *more])


# ---- results -----------------------------------------------------------------------------------


def require_tellable(version: str, sets: tuple[RangeSet, ...]) -> None:
    """Before 0.3.0 a result has one address a family; a second would be held but never told.

    Raises CniError(INCOMPATIBLE_VERSION).
    """
    families = [one.version for one in sets]
    if len(families) != len(set(families)) and not at_least(version, "0.3.0"):
        raise CniError(
            INCOMPATIBLE_VERSION,
            f"CNI version {version} does not support more than 1 address per family, and the "
            f'config has {len(sets)} range sets: set "cniVersion" to 0.3.0 or newer',
        )


def _ip_config(one: RangeSet, address: Address) -> IPConfig:
    """What a result tells of an address of the set: its subnet's prefix length, its gateway."""
    found = one.range_of(address)
    assert found is not None, f"{address} was chosen from {one}"
    made = IPv4Interface if one.version == 4 else IPv6Interface
    return IPConfig(made((int(address), found.subnet.prefixlen)), found.gateway)
