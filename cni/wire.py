"""Results as each version of the specification writes them, in both directions.

Three shapes exist. 0.1.0 and 0.2.0 have one address a family in `ip4` and `ip6`. 0.3.0 to
0.4.0 have lists, and name the family of each address in `version`. 1.0.0 dropped `version`, and
1.1.0 added `mtu`, `socketPath` and `pciID` of interfaces and attributes of routes. As the
reference's conversions do, route attributes are written from 0.3.0 on and interface attributes
from 1.0.0 on: an older reader ignores them, and a chain of plugins keeps them.
"""

from __future__ import annotations

from cni.errors import INCOMPATIBLE_VERSION, CniError
from cni.result import DNS, Interface, IPConfig, Result, Route
from cni.versions import at_least, require_supported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni import ip
    from cni.jsonvalue import JsonObject, JsonValue

_ROUTE_ATTRIBUTES = ("mtu", "advmss", "priority", "table", "scope")
_MAX_U32 = 2**32 - 1


def encode(result: Result, version: str) -> dict[str, JsonValue]:
    """The result as a JSON object of that version.

    Raises CniError(INCOMPATIBLE_VERSION) for a result without addresses before 0.3.0, which has
    no place for it.
    """
    if at_least(version, "0.3.0"):
        return _encode_lists(result, version)
    return _encode_families(result, version)


def _encode_lists(result: Result, version: str) -> dict[str, JsonValue]:
    modern = at_least(version, "1.0.0")
    document: dict[str, JsonValue] = {"cniVersion": version}
    if result.interfaces:
        document["interfaces"] = [_interface(item, modern) for item in result.interfaces]
    if result.ips:
        document["ips"] = [_ip(item, modern) for item in result.ips]
    if result.routes:
        document["routes"] = [_route(item) for item in result.routes]
    dns = _dns(result.dns)
    if dns or not modern:
        document["dns"] = dns
    return document


def _encode_families(result: Result, version: str) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {"cniVersion": version}
    for key, family in (("ip4", 4), ("ip6", 6)):
        first = next((item for item in result.ips if item.address.version == family), None)
        if first is None:
            continue
        config: dict[str, JsonValue] = {"ip": str(first.address)}
        if first.gateway is not None:
            config["gateway"] = str(first.gateway)
        routes: list[JsonValue] = [
            _bare_route(route) for route in result.routes if route.dst.version == family
        ]
        if routes:
            config["routes"] = routes
        document[key] = config
    if len(document) == 1:
        raise CniError(
            INCOMPATIBLE_VERSION,
            f"a result without addresses cannot be told in cniVersion {version}: "
            'set "cniVersion" to 0.3.0 or newer',
        )
    document["dns"] = _dns(result.dns)
    return document


def _interface(interface: Interface, modern: bool) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {"name": interface.name}
    if interface.mac:
        document["mac"] = interface.mac
    if interface.mtu and modern:
        document["mtu"] = interface.mtu
    if interface.sandbox:
        document["sandbox"] = interface.sandbox
    if interface.socket_path and modern:
        document["socketPath"] = interface.socket_path
    if interface.pci_id and modern:
        document["pciID"] = interface.pci_id
    return document


def _ip(config: IPConfig, modern: bool) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {}
    if not modern:
        document["version"] = str(config.address.version)
    if config.interface is not None:
        document["interface"] = config.interface
    document["address"] = str(config.address)
    if config.gateway is not None:
        document["gateway"] = str(config.gateway)
    return document


def _bare_route(route: Route) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {"dst": str(route.dst)}
    if route.gw is not None:
        document["gw"] = str(route.gw)
    return document


def _route(route: Route) -> dict[str, JsonValue]:
    document = _bare_route(route)
    for name in _ROUTE_ATTRIBUTES:
        value: int | None = getattr(route, name)
        if value is not None:
            document[name] = value
    return document


def _dns(dns: DNS) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {}
    if dns.nameservers:
        document["nameservers"] = list(dns.nameservers)
    if dns.domain:
        document["domain"] = dns.domain
    if dns.search:
        document["search"] = list(dns.search)
    if dns.options:
        document["options"] = list(dns.options)
    return document


def decode(document: JsonObject, version: str = "") -> Result:
    """Read a result of any version. `version`: what to assume where it does not say.

    Raises CniError: INVALID_CONFIG for a wrong key, INCOMPATIBLE_VERSION for an unknown version.
    """
    version = document.string("cniVersion") or version or "0.1.0"
    require_supported(version, document.place(""))
    if at_least(version, "0.3.0"):
        return _decode_lists(document)
    return _decode_families(document)


def _decode_lists(document: JsonObject) -> Result:
    interfaces = tuple(
        Interface(
            name=item.required_string("name"),
            mac=item.string("mac"),
            sandbox=item.string("sandbox"),
            mtu=item.integer("mtu", 0, 0, _MAX_U32),
            socket_path=item.string("socketPath"),
            pci_id=item.string("pciID"),
        )
        for item in document.objects("interfaces")
    )
    return Result(
        interfaces=interfaces,
        ips=tuple(_read_ip(item, len(interfaces)) for item in document.objects("ips")),
        routes=tuple(read_route(item) for item in document.objects("routes")),
        dns=read_dns(document.object("dns")),
    )


def _decode_families(document: JsonObject) -> Result:
    ips: list[IPConfig] = []
    routes: list[Route] = []
    for key in ("ip4", "ip6"):
        if document.has(key):
            config = document.object(key)
            ips.append(IPConfig(_present(config, "ip"), config.address("gateway")))
            routes += (read_route(item) for item in config.objects("routes"))
    return Result(ips=tuple(ips), routes=tuple(routes), dns=read_dns(document.object("dns")))


def _present(config: JsonObject, key: str) -> ip.Interface:
    address = config.interface(key)
    if address is None:
        raise config.wrong(key, "an IP address with its prefix length")
    return address


def _read_ip(item: JsonObject, interfaces: int) -> IPConfig:
    address = _present(item, "address")
    index = item.integer("interface", None, -(2**31), _MAX_U32)
    # Some plugins write -1 for "none", and some count wrongly, which the reference lets pass.
    if index is not None and not 0 <= index < interfaces:
        index = None
    return IPConfig(address, item.address("gateway"), index)


def read_route(item: JsonObject) -> Route:
    """A route of a result or of a config (`dst`, `gw` and the attributes of spec 1.1.0).

    Raises CniError(INVALID_CONFIG).
    """
    dst = item.network("dst")
    if dst is None:
        raise item.wrong("dst", "a subnet such as 0.0.0.0/0")
    gw = item.address("gw")
    if gw is not None and gw.version != dst.version:
        raise item.wrong("gw", f"an IPv{dst.version} address, as the route's dst {dst}")
    return Route(
        dst,
        gw,
        mtu=item.integer("mtu", None, 0, _MAX_U32) or None,
        advmss=item.integer("advmss", None, 0, _MAX_U32) or None,
        priority=item.integer("priority", None, 0, _MAX_U32) or None,
        table=item.integer("table", None, 0, _MAX_U32),
        scope=item.integer("scope", None, 0, 255),
    )


def read_dns(document: JsonObject) -> DNS:
    """Resolver settings of a result or of a config. Raises CniError(INVALID_CONFIG)."""
    return DNS(
        nameservers=tuple(document.strings("nameservers")),
        domain=document.string("domain"),
        search=tuple(document.strings("search")),
        options=tuple(document.strings("options")),
    )
