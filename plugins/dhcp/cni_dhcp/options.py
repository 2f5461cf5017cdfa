"""DHCPv4 options as a config names them: by number, or by the name of dhcp-options(5)."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.jsonvalue import JsonObject

SUBNET_MASK = 1
ROUTERS = 3
DOMAIN_NAME_SERVERS = 6
HOST_NAME = 12
DOMAIN_NAME = 15
INTERFACE_MTU = 26
STATIC_ROUTES = 33
REQUESTED_ADDRESS = 50
LEASE_TIME = 51
OVERLOAD = 52
MESSAGE_TYPE = 53
SERVER_ID = 54
PARAMETER_LIST = 55
MESSAGE = 56
LONGEST_MESSAGE = 57
RENEWAL_TIME = 58
REBINDING_TIME = 59
CLIENT_ID = 61
DOMAIN_SEARCH = 119
CLASSLESS_ROUTES = 121

NAMES = {
    "dhcp-client-identifier": CLIENT_ID,
    "domain-name": DOMAIN_NAME,
    "domain-name-servers": DOMAIN_NAME_SERVERS,
    "domain-search": DOMAIN_SEARCH,
    "host-name": HOST_NAME,
    "interface-mtu": INTERFACE_MTU,
    "rfc3442-classless-static-routes": CLASSLESS_ROUTES,
    "routers": ROUTERS,
    "static-routes": STATIC_ROUTES,
    "subnet-mask": SUBNET_MASK,
    "user-class": 77,
    "vendor-class-identifier": 60,
}
"""The reference's six, and those that a result can tell."""

DEFAULT_REQUEST = (ROUTERS, SUBNET_MASK)
LONGEST = 255
_OWN = frozenset(
    {0, REQUESTED_ADDRESS, OVERLOAD, MESSAGE_TYPE, SERVER_ID, PARAMETER_LIST, LONGEST_MESSAGE, 255}
)
"""What a message says by itself, and the two numbers that carry nothing (RFC 2132, section 3)."""


def read_provided(ipam: JsonObject, args: Mapping[str, str]) -> tuple[tuple[int, bytes], ...]:
    """`provide`: (number, value) pairs; a value from CNI_ARGS wins over the one beside it.

    An item without a value says nothing, as in the reference; an argument that is there and empty,
    as multus passes them, is none. Raises CniError(INVALID_CONFIG).
    """
    provided: dict[int, bytes] = {}
    for item in ipam.objects("provide"):
        code = _read_option(item)
        if code in _OWN:
            raise item.wrong("option", "an option that the client does not set itself")
        written, argument = item.string("value"), item.string("fromArg")
        given = args.get(argument, "") if argument else ""
        value = (given or written).encode()
        if len(value) > LONGEST:
            where = f"CNI_ARGS {argument}" if given else f'key "{item.place("value")}"'
            raise CniError(INVALID_CONFIG, f"{where}: {len(value)} bytes, expected 1 to {LONGEST}")
        if value:
            provided[code] = value
    return tuple(provided.items())


def read_requested(ipam: JsonObject) -> tuple[int, ...]:
    """`request`: numbers, with the default ones unless an item skips them.

    Raises CniError(INVALID_CONFIG).
    """
    requested: list[int] = []
    skip = False
    for item in ipam.objects("request"):
        skip = item.boolean("skipDefault") or skip
        if item.string("option"):
            code = _read_option(item)
            if code in (0, 255):
                raise item.wrong("option", "an option with a value")
            requested.append(code)
    return tuple(dict.fromkeys([*requested, *(() if skip else DEFAULT_REQUEST)]))


def _read_option(item: JsonObject) -> int:
    name = item.required_string("option")
    if name in NAMES:
        return NAMES[name]
    if name.isascii() and name.isdigit() and int(name[:9]) <= LONGEST:
        return int(name)
    raise item.wrong("option", f'a number from 1 to 254 ("12") or one of {", ".join(NAMES)}')
