"""Attributes of an interface: read, set one at a time, compared."""

from __future__ import annotations

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostnet.link import Link
    from hostnet.netlink import Netlink


@record
class Attributes:
    """Some of an interface's attributes: to be set, or as they were.

    mac: empty, mtu (bytes): 0, the others: None where it does not matter. tx_queue: packets.
    """

    mac: str = ""
    mtu: int = 0
    promisc: bool | None = None
    allmulti: bool | None = None
    tx_queue: int | None = None

    def __bool__(self) -> bool:
        return self != _NONE

    def single(self) -> Iterator[tuple[str, Attributes]]:
        """The config's key of each attribute that matters, and the attribute alone."""
        if self.mac:
            yield "mac", Attributes(mac=self.mac)
        if self.mtu:
            yield "mtu", Attributes(mtu=self.mtu)
        if self.promisc is not None:
            yield "promisc", Attributes(promisc=self.promisc)
        if self.allmulti is not None:
            yield "allmulti", Attributes(allmulti=self.allmulti)
        if self.tx_queue is not None:
            yield "txQLen", Attributes(tx_queue=self.tx_queue)

    def otherwise(self, other: Attributes) -> Attributes:
        """These, and the other's where it does not matter here."""
        return Attributes(
            mac=self.mac or other.mac,
            mtu=self.mtu or other.mtu,
            promisc=other.promisc if self.promisc is None else self.promisc,
            allmulti=other.allmulti if self.allmulti is None else self.allmulti,
            tx_queue=other.tx_queue if self.tx_queue is None else self.tx_queue,
        )


_NONE = Attributes()


def of_link(found: Link, like: Attributes) -> Attributes:
    """As the link has them, those that matter in `like`."""
    return Attributes(
        mac=found.mac if like.mac else "",
        mtu=found.mtu if like.mtu else 0,
        promisc=None if like.promisc is None else found.promisc,
        allmulti=None if like.allmulti is None else found.allmulti,
        tx_queue=None if like.tx_queue is None else found.tx_queue,
    )


def set_on(nl: Netlink, index: int, wanted: Attributes) -> None:
    """Set those that matter, in one message. Raises NetlinkError."""
    from hostnet import link

    link.change(
        nl,
        index,
        mac=wanted.mac,
        mtu=wanted.mtu,
        promisc=wanted.promisc,
        allmulti=wanted.allmulti,
        tx_queue=wanted.tx_queue,
    )


def problems(found: Link, wanted: Attributes) -> Iterator[str]:
    """How the link differs from what is wanted."""
    now = of_link(found, wanted)
    for switch, words, is_now, shall in (
        ("promisc", "in promiscuous mode", now.promisc, wanted.promisc),
        ("allmulti", "in all-multicast mode", now.allmulti, wanted.allmulti),
    ):
        if is_now != shall:
            yield (
                f"interface {found.name} is {'' if is_now else 'not '}{words}, and {switch} is "
                + ("true" if shall else "false")
            )
    if now.mac != wanted.mac:
        yield f"interface {found.name} has the MAC {now.mac}, expected {wanted.mac}"
    if now.mtu != wanted.mtu:
        yield f"interface {found.name} has the MTU {now.mtu}, expected {wanted.mtu}"
    if now.tx_queue != wanted.tx_queue:
        yield (
            f"interface {found.name} has a transmit queue of {now.tx_queue} packets, expected "
            f"{wanted.tx_queue}"
        )
