"""The book in etcd: which keys there are, what they say, and how a page is torn out.

Below the prefix, all of it text that etcdctl shows:

    addr/10.1.2.3                  net/host1/c1/eth0          who has the address
    owner/host1/c1/eth0            net 10.1.2.3 fd00::5       what the attachment has

Both are written and removed in one transaction, so one is never there without the other. `owner` is
how DEL and GC find an attachment's addresses without reading all addresses, and as one key for all
of them it makes a second allocation for an attachment impossible. The network stands in the values
because several networks may share a prefix, and a GC must know its own.
"""

from __future__ import annotations

from cni.call import Attachment
from cni.errors import TRY_AGAIN_LATER, CniError
from cni.ip import parse_address
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.ip import Address
    from etcd_json import Etcd, KeyValue
    from wiring.etcd_settings import Settings

_TRIES = 8
"""How often somebody else may change an attachment's entries in the middle of a release."""


@record
class Book:
    """One node's view of a network's addresses."""

    prefix: str
    network: str
    node: str

    @property
    def addresses(self) -> str:
        """What all keys of addresses begin with."""
        return f"{self.prefix}/addr/"

    @property
    def owners(self) -> str:
        """What the keys of all owners on this node begin with."""
        return f"{self.prefix}/owner/{self.node}/"

    def address_key(self, address: Address) -> str:
        """The key that says who has an address."""
        return f"{self.prefix}/addr/{address}"

    def owner_key(self, owner: Attachment) -> str:
        """The key that says what an attachment has."""
        return f"{self.owners}{owner.container_id}/{owner.ifname}"

    def holder(self, owner: Attachment) -> str:
        """The value of an address key."""
        return f"{self.network}/{self.node}/{owner.container_id}/{owner.ifname}"

    def page(self, addresses: Iterable[Address]) -> str:
        """The value of an owner key."""
        return " ".join((self.network, *map(str, addresses)))

    def owner_of(self, key: str) -> Attachment:
        """The attachment of an owner key of this node."""
        container_id, _, ifname = key.removeprefix(self.owners).partition("/")
        return Attachment(container_id, ifname)


def book_of(settings: Settings, network: str) -> Book:
    """The book that a config means."""
    return Book(settings.prefix, network, settings.node)


def read_page(value: str) -> tuple[str, list[Address]]:
    """The network and the addresses in an owner key's value; what is no address is passed over."""
    network, *texts = value.split(" ")
    found = []
    for text in texts:
        try:
            found.append(parse_address(text))
        except ValueError:  # somebody edited it
            continue
    return network, found


def node_of(holder: str) -> str:
    """The node in an address key's value."""
    return [*holder.split("/"), ""][1]


def holder_text(holder: str) -> str:
    """An address key's value in words."""
    parts = [part[:80] for part in holder.split("/")]
    if len(parts) != 4:
        return repr(holder[:80])
    network, node, container_id, ifname = parts
    return f"container {container_id} ({ifname}) on node {node}, network {network}"


def release(etcd: Etcd, book: Book, page: KeyValue) -> None:
    """Remove an owner key and those of its addresses that are still its own, or nothing.

    page: the owner key as it was read. Raises EtcdError, and CniError(TRY_AGAIN_LATER) where it
    changes all the time.
    """
    from etcd_json import delete, get, unchanged, value_is

    holder = book.holder(book.owner_of(page.key))
    keys = _address_keys(book, page)
    for _ in range(_TRIES):
        outcome = etcd.transact(
            [unchanged(page.key, page.mod_revision), *(value_is(key, holder) for key in keys)],
            [delete(page.key), *map(delete, keys)],
            [get(page.key), *map(get, keys)],
        )
        if outcome.succeeded:
            return
        now, *held = outcome.found
        if not now:
            return  # another DEL or GC came first
        if now[0].mod_revision != page.mod_revision:
            page = now[0]
            keys = _address_keys(book, page)
        else:
            keys = [found.key for each in held for found in each if found.value == holder]
    raise CniError(
        TRY_AGAIN_LATER,
        f"the key {page.key} in etcd was changed {_TRIES} times while it was being removed",
    )


def _address_keys(book: Book, page: KeyValue) -> list[str]:
    return list(map(book.address_key, read_page(page.value)[1]))
