"""From the config and the previous result to what is to be guarded, as data."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.names import ifname_problem
from cni_firewall.config import ISOLATED, OPEN
from cni_firewall.guarded import ALONE, APART, ZONED, Guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.result import Result
    from cni_firewall.config import Config


def make(config: Config, result: Result, *, zoned: bool = False) -> list[Guarded]:
    """The container's addresses, each once; none where the config asks for nothing.

    zoned: they go to a zone of firewalld. Raises CniError(INVALID_CONFIG) where the policy needs a
    bridge and the previous result names none.
    """
    flags = ZONED if zoned else 0
    bridge = port = ""
    if config.policy != OPEN:
        flags |= APART
        bridge, port = _links(config.policy, result)
    if config.policy == ISOLATED:
        flags |= ALONE
    addresses = list(dict.fromkeys(one.address.ip for one in result.ips))
    if addresses:
        return [Guarded(one, bridge, port, flags) for one in addresses]
    return [Guarded(None, bridge, port, flags)] if flags & APART else []


def _links(policy: str, result: Result) -> tuple[str, str]:
    """The bridge, which comes first, and the port of the container, the host's next interface.

    The order is the reference's, which other plugins keep; the port is empty where there is none.
    """
    outside = [one.name for one in result.interfaces if not one.sandbox]
    bridge = result.interfaces[0].name if result.interfaces else ""
    if not bridge or result.interfaces[0].sandbox:
        found = f'its first interface is "{bridge}" in a container' if bridge else "it has none"
        raise CniError(
            INVALID_CONFIG,
            f'key "prevResult": {found}, expected a bridge of the host as the first interface, '
            f'which "ingressPolicy": "{policy}" is about; chain firewall after bridge',
        )
    port = outside[1] if len(outside) > 1 else ""
    for name in filter(None, (bridge, port)):
        if problem := ifname_problem(name):
            raise CniError(INVALID_CONFIG, f'key "prevResult": the name of an interface: {problem}')
    return bridge, port
