"""Whether the kernel has what the networks of this host need."""

from __future__ import annotations

import errno
import os

from cnitool.doctor.model import ERROR, NOTE, OK, Finding
from hostnet import link, nft
from hostnet.netfilter import Netfilter
from hostnet.netlink import Netlink, NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnitool.doctor.model import Host

KINDS = {
    "veth": ("bridge", "ptp", "vxlan"),
    "bridge": ("bridge", "vxlan"),
    "vxlan": ("vxlan",),
    "macvlan": ("macvlan",),
    "ipvlan": ("ipvlan",),
    "vlan": ("vlan",),
    "dummy": ("dummy",),
    "vrf": ("vrf",),
    "ifb": ("bandwidth",),
}
"""Kinds of links, and the plugins that cannot do without them."""

_NFTABLES = ("portmap", "firewall", "bridge", "ptp", "vxlan")
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>


def links(host: Host) -> Iterator[Finding]:
    """The kinds of links, each tried in a network namespace that goes with a child process."""
    missing = _missing()
    if missing is None:
        text = "cannot try the kinds of links: no network namespace can be made"
        yield Finding(ERROR, "kernel", text, "run it as root")
        return
    for kind in missing:
        users = [one for one in KINDS[kind] if one in host.plugins]
        level = ERROR if users else NOTE
        text = f"the kernel has no links of kind {kind}"
        text += f", which {' and '.join(users)} need" if users else "; no network here needs them"
        yield Finding(level, "kernel", text, f"modprobe {_module(kind)}")
    if not missing:
        yield Finding(OK, "kernel", f"has links of kind {', '.join(KINDS)}")


def _module(kind: str) -> str:
    return "8021q" if kind == "vlan" else kind


def _missing() -> list[str] | None:
    """The kinds that the kernel does not make; None where no namespace can be had.

    Asking has no other way: what a kernel was built with stands nowhere that all systems have. The
    kernel loads a module for it where there is one, as it would for the plugin.
    """
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of it outlives it: links go with the namespace, that with the process
        status = 1
        try:
            if _unshare():
                os.write(writable, " ".join(kind for kind in KINDS if not _can(kind)).encode())
                status = 0
        finally:
            os._exit(status)
    os.close(writable)
    with open(readable, encoding="ascii") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return answer.split() if status == 0 else None


def _unshare() -> bool:
    import ctypes

    return bool(ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0)


def _can(kind: str) -> bool:
    """Whether a link of the kind can be made. One that wants more than a name says so otherwise."""
    with Netlink() as nl:
        try:
            link.create(nl, "pycni-try", kind)
        except NetlinkError as error:
            return error.errno != errno.EOPNOTSUPP
        except OSError:
            return True
        link.delete(nl, link.get(nl, "pycni-try").index)
        return True


def filters(host: Host) -> Iterator[Finding]:
    """nftables, in the kernel and as a library."""
    level = ERROR if host.uses(*_NFTABLES) else NOTE
    try:
        with Netfilter.open() as nl:
            has_nftables = nl.available()
    except NetlinkError as error:
        has_nftables = error.errno not in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)
    if not has_nftables:
        text = "the kernel has no nftables; masquerade and published ports fall back to iptables"
        yield Finding(level, "kernel", text, "modprobe nf_tables")
        return
    try:
        nft.load()
    except nft.NftError as error:
        yield Finding(level, "kernel", str(error), "apt install libnftables1")
        return
    yield Finding(OK, "kernel", "has nftables, and libnftables can be loaded")
