"""Which backend lays rules down: the config's key, else the host's file, else what works here.

This is the one place that decides it, for masquerade, published ports and the firewall alike. Only
an ADD, CHECK and STATUS ask. What an attachment has is looked for in all of them, so a host can be
switched over with containers on it.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from hostnet import netfilter
from hostnet.netfilter import Netfilter

FILE = "/etc/cni/pycni.json"
"""The host's choice, for all networks whose config makes none: {"backend": "iptables"}."""
NFTABLES, IPTABLES = "nftables", "iptables"


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


def open_nftables(chosen: str) -> Netfilter | None:
    """A socket to use nftables by; None where iptables is to be used.

    chosen: what the config or else `of_host` says; where that is nothing, nftables goes before
    iptables if the kernel has it. Raises NetlinkError where it has, and does not let us use it.
    """
    if chosen == IPTABLES:
        return None
    if chosen == NFTABLES:
        return Netfilter.open()
    nl = netfilter.find()
    if nl is None:
        return None
    try:
        if nl.available():
            return nl
    except BaseException:
        nl.close()
        raise
    nl.close()
    return None


def require_iptables() -> None:
    """Raise IptablesError unless iptables can be used.

    Its programs must be there. Where the kernel has no nftables they are also tried, since most
    are those of iptables-nft, which need them.
    """
    from hostnet.iptables import Tool

    tool = Tool(4)
    tool.require()
    nl = netfilter.find()
    if nl is not None:
        with nl:
            if nl.available():
                return
    tool.save("nat")
