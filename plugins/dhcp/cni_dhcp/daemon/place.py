"""Where an attachment is: a namespace by its path, an interface in it, and whether it is still so.

Nothing is held open between two conversations: a descriptor of a namespace, or a socket born in
it, would keep it alive, with all its interfaces, after its container is gone.
"""

from __future__ import annotations

import errno

from cni.call import Attachment, owner
from cni.record import record
from hostnet import link
from hostnet.netlink import NetlinkError
from hostnet.netns import NetNS, NetNSError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from cni.jsonvalue import JsonObject, JsonValue
    from hostnet.link import Link
    from hostnet.netlink import Netlink

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESRCH)
"""Of a path that leads nowhere; other errors say nothing about the namespace."""


class GoneError(Exception):
    """The namespace or the interface is not there any more."""


@record
class Place:
    """An attachment's.

    netns: the namespace's path. namespace: its device and inode. index: of the interface, 0 until
    it was looked up.
    """

    network: str
    container_id: str
    ifname: str
    netns: str = ""
    namespace: tuple[int, int] = (0, 0)
    index: int = 0

    @property
    def owner(self) -> str:
        """`network/container/ifname`."""
        return owner(self.network, Attachment(self.container_id, self.ifname))

    @property
    def client_id(self) -> bytes:
        """How the reference names a client: `container/network/ifname`, at most 254 bytes."""
        return f"{self.container_id}/{self.network}/{self.ifname}".encode()[:254]

    def document(self) -> dict[str, JsonValue]:
        return {
            "network": self.network,
            "container": self.container_id,
            "ifname": self.ifname,
            "netns": self.netns,
            "namespace": list(self.namespace),
            "index": self.index,
        }


def read_place(document: JsonObject) -> Place:
    """What `Place.document` wrote, or a plugin. Raises CniError, ValueError."""
    numbers = [one for one in document.items("namespace") if isinstance(one, int)]
    device, inode = numbers or (0, 0)
    return Place(
        document.required_string("network"),
        document.required_string("container"),
        document.required_string("ifname"),
        document.string("netns"),
        (device, inode),
        document.integer("index", 0, 0, 2**31 - 1),
    )


class Site:
    """A place, open: `with Site(place, prefix) as site:`.

    place: with the interface's index. ns, nl: the namespace and a socket in it. Raises GoneError,
    OSError.
    """

    __slots__ = ("nl", "ns", "place")

    def __init__(self, place: Place, prefix: str) -> None:
        self.place = place
        try:
            self.ns = NetNS.open(prefix + place.netns)
        except NetNSError as error:
            raise GoneError(str(error)) from error
        except OSError as error:
            if error.errno not in _GONE:
                raise
            raise GoneError(f"{prefix}{place.netns}: {error.strerror}") from error
        try:
            if self.ns.identity != place.namespace:
                raise GoneError(f"{prefix}{place.netns} is another namespace")
            self.nl: Netlink = self.ns.netlink()
        except BaseException:
            self.ns.close()
            raise

    def link(self) -> Link:
        """The interface as it is now. Raises GoneError."""
        try:
            if self.place.index:
                return link.by_index(self.nl, self.place.index)
            return link.get(self.nl, self.place.ifname)
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise
            where = f"{self.place.ifname} is not in {self.place.netns}"
            raise GoneError(f"interface {where}") from error

    def close(self) -> None:
        self.nl.close()
        self.ns.close()

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
