"""STATUS of a plugin with one link inside the container."""

from __future__ import annotations

from cni.errors import LIMITED, NOT_AVAILABLE, SYSTEM, CniError
from hostnet.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cni.call import Call

_MODULES = {"vlan": "8021q"}
"""By kind, where the module has another name."""


def require_kind(nl: Netlink, kind: str) -> None:
    """Raise CniError(SYSTEM) unless the kernel can make links of this kind."""
    from hostnet import sublink

    if not sublink.kernel_has(nl, kind):
        raise unknown_kind(kind)


def unknown_kind(kind: str) -> CniError:
    """The error for a kernel without links of this kind."""
    module = _MODULES.get(kind, kind)
    return CniError(
        SYSTEM, f"this kernel has no {kind} interfaces: modprobe {module}, or run one that has them"
    )


def status(call: Call, ipam_plugin: Callable[[Netlink], str]) -> None:
    """Raise CniError(NOT_AVAILABLE), with the reason, where an ADD would fail; or (LIMITED).

    ipam_plugin: reads the config and looks at the host, as ADD does before it begins; gives the
    IPAM plugin's name, empty where there is none, which then has its say.
    """
    try:
        with Netlink() as nl:
            name = ipam_plugin(nl)
    except (CniError, OSError) as error:
        if isinstance(error, CniError) and error.code == LIMITED:
            raise
        raise CniError(NOT_AVAILABLE, f"an ADD would fail: {error}") from error
    if name:
        from cni import ipam

        ipam.status(call, name)
