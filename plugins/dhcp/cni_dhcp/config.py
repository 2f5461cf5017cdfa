"""The plugin's configuration: the `ipam` section, and what of it the daemon is told."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.record import record
from cni_dhcp.options import read_provided, read_requested

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.jsonvalue import JsonObject, JsonValue

SOCKET = "/run/cni/dhcp.sock"
IPV6_MODES = ("none", "dhcp", "slaac", "auto")
_MAX_U32 = 2**32 - 1
_LONGEST_PATH = 107  # sun_path, <linux/un.h>


@record
class Terms:
    """What an attachment asks its network for.

    ipv4: an address by DHCPv4. ipv6: how it gets one of IPv6, one of IPV6_MODES. provide: (number,
    value) of the DHCPv4 options that are told to the server, request: numbers of those it is asked
    for. priority: the metric of the routes, 0 for the kernel's. suppress_gateway: no default route
    and no gateway.
    """

    ipv4: bool
    ipv6: str
    provide: tuple[tuple[int, bytes], ...]
    request: tuple[int, ...]
    priority: int
    suppress_gateway: bool

    def document(self) -> dict[str, JsonValue]:
        """As JSON, for the daemon and for its files; `read_terms` reads it."""
        return {
            "ipv4": self.ipv4,
            "ipv6": self.ipv6,
            "provide": [{"option": code, "value": value.hex()} for code, value in self.provide],
            "request": list(self.request),
            "priority": self.priority,
            "suppressGateway": self.suppress_gateway,
        }


def read_terms(document: JsonObject) -> Terms:
    """What `Terms.document` wrote. Raises CniError(INVALID_CONFIG), ValueError."""
    return Terms(
        ipv4=document.boolean("ipv4"),
        ipv6=document.choice("ipv6", IPV6_MODES, "none"),
        provide=tuple(
            (item.integer("option", 0, 1, 254), bytes.fromhex(item.string("value")))
            for item in document.objects("provide")
        ),
        request=tuple(one for one in document.items("request") if isinstance(one, int)),
        priority=document.integer("priority", 0, 0, _MAX_U32),
        suppress_gateway=document.boolean("suppressGateway"),
    )


def read_config(call: Call) -> Terms:
    """Check the whole configuration. Raises CniError that names the key or the argument."""
    ipam = call.config.object("ipam")
    read_socket(call)
    terms = Terms(
        ipv4=ipam.boolean("ipv4", True),
        ipv6=ipam.choice("ipv6", IPV6_MODES, "none"),
        provide=read_provided(ipam, call.args),
        request=read_requested(ipam),
        priority=ipam.integer("priority", 0, 0, _MAX_U32),
        suppress_gateway=_read_suppress(ipam),
    )
    if not terms.ipv4 and terms.ipv6 == "none":
        raise CniError(
            INVALID_CONFIG,
            f'key "{ipam.place("ipv4")}": found false, expected true where "ipv6" is "none": there '
            "would be no address to ask for",
        )
    return terms


def read_socket(call: Call) -> str:
    """Where the daemon listens: all that DEL and GC need. Raises CniError(INVALID_CONFIG)."""
    ipam = call.config.object("ipam")
    path = ipam.string("daemonSocketPath") or SOCKET
    if not path.startswith("/") or len(path.encode()) > _LONGEST_PATH:
        expected = f"an absolute path of at most {_LONGEST_PATH} bytes"
        raise ipam.wrong("daemonSocketPath", expected)
    return path


def _read_suppress(ipam: JsonObject) -> bool:
    for index, word in enumerate(ipam.strings("suppress")):
        if word != "gateway":
            raise CniError(
                INVALID_CONFIG,
                f'key "{ipam.place("suppress")}[{index}]": found "{word[:40]}", expected "gateway"',
            )
    return ipam.has("suppress") and bool(ipam.items("suppress"))
