"""Keys that several interface plugins have, read the same way and refused in the same words."""

from __future__ import annotations

from cni import ipam, wire
from cni.errors import CniError
from wiring import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.jsonvalue import JsonObject
    from cni.result import DNS

_MIN_MTU = 68  # RFC 791: what every IPv4 link must carry
_MAX_MTU = 65535


def mtu(config: JsonObject) -> int:
    """`mtu` in bytes, 0 for the kernel's choice. Raises CniError(INVALID_CONFIG)."""
    found = config.integer("mtu", 0, 0, _MAX_MTU)
    if 0 < found < _MIN_MTU:
        raise config.wrong("mtu", f"0 or an integer from {_MIN_MTU} to {_MAX_MTU}")
    return found


def mac(call: Call) -> str:
    """The container's hardware address, empty where none is asked for.

    Of runtimeConfig before args.cni before CNI_ARGS, as in the reference. Raises CniError:
    INVALID_CONFIG names the key, INVALID_ENVIRONMENT the argument.
    """
    for place in (call.config.object("runtimeConfig"), call.config.object("args").object("cni")):
        found = place.mac("mac")
        if found:
            return found
    return call.mac_argument()


def enable_dad(config: JsonObject) -> bool | None:
    """`enabledad`, None where the config leaves it to `wiring.duplicates`.

    Raises CniError(INVALID_CONFIG).
    """
    found = config.boolean("enabledad")
    return found if config.has("enabledad") else None


def masquerades(config: JsonObject) -> bool:
    """`ipMasq`. Raises CniError(INVALID_CONFIG)."""
    return config.boolean("ipMasq")


def masq_backend(config: JsonObject) -> str:
    """`ipMasqBackend`, empty where the config leaves it to the host: see `wiring.backend`.

    Raises CniError(INVALID_CONFIG).
    """
    return config.choice("ipMasqBackend", (backend.NFTABLES, backend.IPTABLES, ""), "")


def dns(config: JsonObject) -> DNS | None:
    """`dns`, which goes before the IPAM plugin's; None where the config says nothing by it.

    An empty list says that there are none, an empty domain nothing, as in the reference.
    Raises CniError(INVALID_CONFIG).
    """
    found = config.object("dns")
    read = wire.read_dns(found)
    says = read.domain or any(map(found.has, ("nameservers", "search", "options")))
    return read if says else None


def ipam_plugin(call: Call) -> str:
    """The IPAM plugin's name, empty for a layer-2 network.

    Raises CniError(INVALID_CONFIG), also for a layer-2 network in a version that cannot tell one.
    """
    name = ipam.configured(call)
    if not name and call.version in ("0.1.0", "0.2.0"):
        raise call.config.wrong(
            "ipam",
            f"an IPAM plugin: cniVersion {call.version} cannot tell a result without addresses",
        )
    return name


def lenient_ipam(call: Call) -> str:
    """The IPAM plugin's name, empty where there is none or it cannot be read: for DEL and GC."""
    try:
        return ipam.configured(call)
    except CniError:
        return ""
