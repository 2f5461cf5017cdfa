"""Which backend lays rules down: the config's key, else the host's file, else what works here.

This is the one place that decides it, for masquerade, published ports and the firewall alike. Only
an ADD, CHECK and STATUS ask. What an attachment has is looked for in all of them, so a host can be
switched over with containers on it.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonObject
    from hostnet.netfilter import Netfilter

FILE = "/etc/cni/pycni.json"
"""The host's choice, for all networks whose config makes none: {"backend": "iptables"}."""
NFTABLES, IPTABLES = "nftables", "iptables"


def configured(config: JsonObject, key: str, more: tuple[str, ...] = ()) -> str:
    """What the config or else the host's file says; empty where neither does.

    key: the one that names it in this config. more: other backends than the two that the key may
    name. Raises CniError(INVALID_CONFIG) for either, OSError for the file.
    """
    return config.choice(key, (NFTABLES, IPTABLES, *more, ""), "") or of_host()


def of_host() -> str:
    """What the host's file says; empty where there is none, or it says nothing about it.

    Raises CniError(INVALID_CONFIG), OSError.
    """
    try:
        with open(FILE, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    from cni.jsonvalue import parse_object

    try:
        config = parse_object(data, "it")
        return config.choice("backend", (NFTABLES, IPTABLES, ""), "")
    except CniError as error:
        raise CniError(INVALID_CONFIG, f"the file {FILE}: {error.msg}") from None


def choose(chosen: str, nl: Netfilter | None) -> str:
    """What `configured` gave, else nftables where the kernel has it, else iptables.

    nl: a socket, None on a kernel without netfilter's. Raises NetlinkError where it has nftables
    and does not let us use it.
    """
    if chosen:
        return chosen
    return NFTABLES if nl is not None and nl.available() else IPTABLES
