"""What a `firewall` config says, every key checked before anything is done."""

from __future__ import annotations

from cni.errors import CniError
from cni.record import record
from wiring.backend import IPTABLES, NFTABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cni.jsonvalue import JsonObject

FIREWALLD = "firewalld"
OPEN, SAME_BRIDGE, ISOLATED = "open", "same-bridge", "isolated"
ADMIN_CHAIN = "CNI-ADMIN"

_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_NAME = _FIRST | frozenset("0123456789-_.")
_CHAIN_LONGEST = 28  # XT_EXTENSION_MAXNAMELEN - 1, <linux/netfilter/x_tables.h>
_ZONE_LONGEST = 17  # firewalld.zone(5): what an iptables chain's name leaves room for
_NOT_THEIRS = frozenset(
    {
        *("ACCEPT", "DROP", "QUEUE", "RETURN"),  # iptables' targets
        *("INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"),
        *("CNI-FORWARD", "CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2", "CNI-PASS"),
        *("admin", "forward", "through", "unmark"),  # of the nftables table
    }
)


@record
class Config:
    """backend: FIREWALLD or one of `wiring.backend`, empty to have it chosen. admin_chain: a chain
    with the users' own rules. zone: of firewalld. policy: OPEN, SAME_BRIDGE or ISOLATED.
    """

    backend: str = ""
    admin_chain: str = ADMIN_CHAIN
    zone: str = "trusted"
    policy: str = OPEN


def read(config: JsonObject, *, unknown: Callable[[str], object] | None = None) -> Config:
    """Check the config. Raises CniError(INVALID_CONFIG) for the key that is wrong.

    unknown: is told of a backend that is none, and the default stands, as in the reference, whose
    users may have such a word for years; without it that is an error.
    """
    admin = config.string("iptablesAdminChainName") or ADMIN_CHAIN
    if not _named(admin, _CHAIN_LONGEST) or admin in _NOT_THEIRS:
        raise config.wrong(
            "iptablesAdminChainName",
            f"the name of a chain for rules of your own: at most {_CHAIN_LONGEST} letters, digits "
            "and '-_.', the first a letter",
        )
    zone = config.string("firewalldZone") or "trusted"
    if not _named(zone, _ZONE_LONGEST):
        raise config.wrong("firewalldZone", "the name of a zone: firewall-cmd --get-zones")
    try:
        backend = config.choice("backend", (NFTABLES, IPTABLES, FIREWALLD, ""), "")
    except CniError as error:
        if unknown is None or not isinstance(config.get("backend"), str):
            raise
        unknown(error.msg)
        backend = ""
    return Config(
        backend=backend,
        admin_chain=admin,
        zone=zone,
        policy=config.choice("ingressPolicy", (OPEN, SAME_BRIDGE, ISOLATED), OPEN),
    )


def _named(text: str, longest: int) -> bool:
    return text[:1] in _FIRST and _NAME.issuperset(text) and len(text) <= longest
