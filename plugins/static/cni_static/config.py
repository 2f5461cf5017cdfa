"""The plugin's configuration: the `ipam` section, and the addresses a runtime asks for beside it.

Addresses come from four places. Those of CNI_ARGS are added to the config's; `args.cni.ips` takes
the place of both, and `runtimeConfig.ips` of all three, as in the reference.
"""

from __future__ import annotations

from cni.errors import INCOMPATIBLE_VERSION, INVALID_ENVIRONMENT, CniError
from cni.ip import parse_address, parse_interface
from cni.jsonvalue import wrong_value
from cni.record import record, replace
from cni.result import DNS, IPConfig
from cni.versions import at_least
from cni.wire import read_dns, read_route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Address, Interface
    from cni.jsonvalue import JsonObject
    from cni.result import Route

_EXPECTED = "a container's IP address with prefix length, such as 10.1.2.3/24"


@record
class Config:
    """What ADD answers with and CHECK compares with, each address once."""

    ips: tuple[IPConfig, ...]
    routes: tuple[Route, ...] = ()
    dns: DNS = DNS()


def read_config(call: Call) -> Config:
    """Check the whole configuration.

    Raises CniError: INVALID_CONFIG names the key, INVALID_ENVIRONMENT the argument,
    INCOMPATIBLE_VERSION says that the config's version has no place for so many addresses.
    """
    config = call.config
    if not config.has("ipam"):
        raise config.wrong("ipam", 'an object with "addresses"')
    ipam = config.object("ipam")
    found = Config(
        ips=_with_gateways(call, _ips(call, ipam)),
        routes=tuple(read_route(item) for item in ipam.objects("routes")),
        dns=read_dns(ipam.object("dns")),
    )
    _require_tellable(call.version, found.ips)
    return found


def _ips(call: Call, ipam: JsonObject) -> list[IPConfig]:
    """All four places are read, so that a wrong value is told even where another goes before it."""
    configured = [_configured(item) for item in ipam.objects("addresses")]
    configured += (IPConfig(one) for one in _asked(call))
    args = _replacing(call.config.object("args").object("cni"))
    runtime = _replacing(call.config.object("runtimeConfig"))
    found: dict[Interface, IPConfig] = {}
    for one in runtime or args or configured:
        found.setdefault(one.address, one)
    return list(found.values())


def _configured(item: JsonObject) -> IPConfig:
    address = item.interface("address")
    if address is None or not _is_containers(address):
        raise item.wrong("address", _EXPECTED)
    gateway = item.address("gateway")
    if gateway is not None and gateway.version != address.version:
        raise item.wrong("gateway", f"an IPv{address.version} address, as {address}")
    return IPConfig(address, gateway)


def _replacing(config: JsonObject) -> list[IPConfig]:
    found = []
    for index, text in enumerate(config.strings("ips")):
        address = _parse(text)
        if address is None:
            raise wrong_value(f"{config.place('ips')}[{index}]", text, _EXPECTED)
        found.append(IPConfig(address))
    return found


def _asked(call: Call) -> list[Interface]:
    """`IP` of CNI_ARGS: one or more, with commas between them."""
    found = []
    for text in _listed(call, "IP"):
        address = _parse(text)
        if address is None:
            raise CniError(
                INVALID_ENVIRONMENT, f"CNI_ARGS: IP: found {text[:60]!r}, expected {_EXPECTED}"
            )
        found.append(address)
    return found


def _with_gateways(call: Call, ips: list[IPConfig]) -> tuple[IPConfig, ...]:
    """`GATEWAY` of CNI_ARGS: each is the gateway of the addresses in whose subnet it lies."""
    for text in _listed(call, "GATEWAY"):
        gateway = _parse_gateway(text)
        ips = [
            replace(one, gateway=gateway) if gateway in one.address.network else one for one in ips
        ]
    return tuple(ips)


def _parse_gateway(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError:
        raise CniError(
            INVALID_ENVIRONMENT,
            f"CNI_ARGS: GATEWAY: found {text[:60]!r}, expected an IP address such as 10.1.2.1",
        ) from None


def _listed(call: Call, key: str) -> list[str]:
    value = call.args.get(key, "")
    return [text.strip() for text in value.split(",")] if value else []


def _parse(text: str) -> Interface | None:
    """None for what is no address that a container could have."""
    try:
        address = parse_interface(text)
    except ValueError:
        return None
    return address if _is_containers(address) else None


def _is_containers(address: Interface) -> bool:
    return not (address.ip.is_unspecified or address.ip.is_multicast)


def _require_tellable(version: str, ips: tuple[IPConfig, ...]) -> None:
    """Before 0.3.0 a result has one address a family."""
    families = [one.address.version for one in ips]
    if len(families) != len(set(families)) and not at_least(version, "0.3.0"):
        raise CniError(
            INCOMPATIBLE_VERSION,
            f"CNI version {version} does not support more than 1 address per family, and there "
            f'are {", ".join(str(one.address) for one in ips)}: set "cniVersion" to 0.3.0 or newer',
        )
