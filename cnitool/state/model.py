"""The records: what each source says, and the attachment that all of them tell of."""

from __future__ import annotations

import os

from cni.call import Attachment as AttachmentKey
from cni.call import owner
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cni.ip import Address, Interface
    from libcni.cache import CachedAttachment

PUBLISHED = "published"
WAITING = "waiting"
"""For another attachment of the same container, which has the port."""
PENDING = "unfinished"
"""An ADD was ended before it published the port."""

OK = "ok"
GONE = "gone"
"""Its namespace is: the container ended without a DEL."""
UNKNOWN = "unknown"
"""To the cache."""
CONFLICT = "conflict"

NFTABLES = "nftables"
IPTABLES = "iptables"


@record
class Reservation:
    """An address that an IPAM plugin's file gives to an attachment. since: seconds of the epoch.

    ifname: empty in files of the reference's older format, which name the container alone.
    """

    network: str
    address: Address
    container_id: str
    ifname: str
    path: str
    since: float


@record
class Mapping:
    """A port of the host that leads to a container. host: None for all its addresses.

    state: PUBLISHED, WAITING, PENDING. backend: NFTABLES, IPTABLES.
    """

    protocol: str
    host: Address | None
    host_port: int
    container: Address
    container_port: int
    state: str
    backend: str

    @property
    def at_host(self) -> str:
        """Such as `0.0.0.0:8080`."""
        everywhere = "0.0.0.0" if self.container.version == 4 else "::"  # noqa: S104 only shown
        return _endpoint(everywhere if self.host is None else str(self.host), self.host_port)

    @property
    def at_container(self) -> str:
        """Such as `10.1.0.2:80`."""
        return _endpoint(str(self.container), self.container_port)

    def __str__(self) -> str:
        """Such as `0.0.0.0:8080/tcp -> 10.1.0.2:80`."""
        return f"{self.at_host}/{self.protocol} -> {self.at_container}"


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@record
class HostLink:
    """A link of the host. master: its bridge's (or VRF's) name, empty without one.

    kind: as in `ip -d link`, empty for hardware.
    """

    name: str
    index: int
    kind: str
    mac: str
    mtu: int
    up: bool
    carrier: bool
    master: str
    alias: str


@record
class Attachment:
    """One attachment, whoever tells of it.

    cached: its entry in the results cache, None where that knows nothing. host_end: the host's
    end of its veth pair, None where it has none. masqueraded, guarded: the addresses that leave
    with the host's, and that `firewall` lets through.
    """

    network: str
    container_id: str
    ifname: str
    cached: CachedAttachment | None = None
    reservations: tuple[Reservation, ...] = ()
    host_end: HostLink | None = None
    mappings: tuple[Mapping, ...] = ()
    masqueraded: tuple[Interface, ...] = ()
    guarded: tuple[Address, ...] = ()

    @property
    def owner(self) -> str:
        """`network/container/ifname`."""
        return owner(self.network, AttachmentKey(self.container_id, self.ifname))

    @property
    def netns(self) -> str:
        """The namespace's path, empty where nobody knows it."""
        return self.cached.netns if self.cached is not None else ""

    @property
    def is_alive(self) -> bool | None:
        """Whether its namespace is there; None where nobody knows which it is."""
        return os.path.exists(self.netns) if self.netns else None

    @property
    def addresses(self) -> tuple[Interface | Address, ...]:
        """What it was given: by the result of ADD, else by the IPAM files."""
        if self.cached is not None and self.cached.result is not None:
            return tuple(one.address for one in self.cached.result.ips)
        return tuple(one.address for one in self.reservations)

    @property
    def ips(self) -> tuple[Address, ...]:
        """The same without their prefix lengths, which the files do not have."""
        if self.cached is not None and self.cached.result is not None:
            return tuple(one.address.ip for one in self.cached.result.ips)
        return tuple(one.address for one in self.reservations)

    def state(self, conflicts: Sequence[str]) -> str:
        """In a word: GONE, UNKNOWN, CONFLICT, OK. conflicts: as `World.conflicts` gives them."""
        if self.is_alive is False:
            return GONE
        if self.cached is None:
            return UNKNOWN
        return CONFLICT if conflicts else OK

    @property
    def mac(self) -> str:
        """The container's interface's, as ADD told it; empty where it did not."""
        result = self.cached.result if self.cached is not None else None
        inner = (one for one in result.interfaces if one.sandbox) if result is not None else ()
        return next((one.mac for one in inner if one.name == self.ifname), "")

    @property
    def pod(self) -> str:
        """`namespace/name` of a Kubernetes pod, as kubelet's CNI_ARGS say; empty without."""
        args = dict(self.cached.args) if self.cached is not None else {}
        name = args.get("K8S_POD_NAME", "")
        return f"{args.get('K8S_POD_NAMESPACE', '')}/{name}" if name else ""

    @property
    def since(self) -> float | None:
        """When it was attached, in seconds of the epoch."""
        if self.cached is not None:
            return self.cached.since
        return min((one.since for one in self.reservations), default=None)
