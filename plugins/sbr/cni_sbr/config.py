"""The plugin's configuration, and the addresses that it is about."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from cni.errors import INVALID_CONFIG, CniError
from cni.ip import parse_address
from cni.jsonvalue import wrong_value
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Address, Network
    from cni.jsonvalue import JsonObject
    from cni.result import IPConfig, Result

_MAX_U32 = 2**32 - 1


@record
class Config:
    """table: to which the rules lead, 0 for tables that we choose and move the routes into.

    gateways: by IP version, the way out instead of the previous result's. source_hints: whether
    subnets stay in the main table, with the address as the source for who has chosen none.
    """

    table: int = 0
    gateways: tuple[Address, ...] = ()
    source_hints: bool = False

    def gateway(self, version: int) -> Address | None:
        """The configured gateway of an IP version."""
        return next((one for one in self.gateways if one.version == version), None)


def read_config(config: JsonObject) -> Config:
    """Check the whole configuration. Raises CniError(INVALID_CONFIG) that names the key."""
    return Config(
        table=config.integer("table", 0, 1, _MAX_U32),
        gateways=_gateways(config),
        source_hints=config.boolean("addSourceHints"),
    )


def _gateways(config: JsonObject) -> tuple[Address, ...]:
    found: dict[int, Address] = {}
    for index, text in enumerate(config.strings("gateways")):
        place = f"{config.place('gateways')}[{index}]"
        try:
            gateway = parse_address(text)
        except ValueError:
            raise wrong_value(place, text, "an IP address such as 10.1.2.1") from None
        if gateway.version in found:
            raise wrong_value(place, text, f"one IPv{gateway.version} address at most")
        found[gateway.version] = gateway
    return tuple(found.values())


def previous(call: Call) -> tuple[Result, tuple[IPConfig, ...]]:
    """The previous result, and its addresses of the call's interface.

    As the reference has it, an address that names no interface counts. Raises
    CniError(INVALID_CONFIG) where there is none.
    """
    result = call.prev_result
    if result is None:
        raise CniError(
            INVALID_CONFIG,
            'key "prevResult": it is missing; sbr must come in a "plugins" list after the plugin '
            "that gives the container its address",
        )
    found = addresses(result, call.ifname)
    if not found:
        raise CniError(
            INVALID_CONFIG,
            f'key "prevResult.ips": no IP addresses supplied on interface {call.ifname}, expected '
            "at least one",
        )
    return result, found


def alone(address: Address) -> Network:
    """The one address, as the source that a rule is for."""
    # `ip_network` makes it a text, and reads that.
    return IPv4Network(address.packed) if address.version == 4 else IPv6Network(address.packed)


def addresses(result: Result, ifname: str) -> tuple[IPConfig, ...]:
    """A result's addresses of an interface of this name."""
    return tuple(
        one
        for one in result.ips
        if one.interface is None
        or one.interface >= len(result.interfaces)
        or result.interfaces[one.interface].name == ifname
    )
