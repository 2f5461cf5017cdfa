"""What an ADD achieves (SPEC.md, section 5 "ADD Success"), independent of the wire's version."""

from __future__ import annotations

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni import ip


@record
class Interface:
    """A network interface the attachment uses or created.

    sandbox: the network namespace's path for one inside the container, empty on the host.
    mtu: bytes, 0 where unknown. socket_path, pci_id: for interfaces that are no kernel device.
    """

    name: str
    mac: str = ""
    sandbox: str = ""
    mtu: int = 0
    socket_path: str = ""
    pci_id: str = ""


@record
class IPConfig:
    """An address of the container. interface: an index into the result's interfaces, or None."""

    address: ip.Interface
    gateway: ip.Address | None = None
    interface: int | None = None


@record
class Route:
    """A route of the container; fields that are None are left to the kernel.

    mtu, advmss: bytes. priority: the metric. table, scope: as in `ip route`, by number.
    """

    dst: ip.Network
    gw: ip.Address | None = None
    mtu: int | None = None
    advmss: int | None = None
    priority: int | None = None
    table: int | None = None
    scope: int | None = None


@record
class DNS:
    """Resolver settings, passed on to the runtime and never applied by us."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@record
class Result:
    """The whole of it; a chain's plugins hand it on, each adding or changing what it did."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[IPConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: DNS = DNS()
