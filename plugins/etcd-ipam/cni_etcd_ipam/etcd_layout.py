"""The keys in etcd: which there are, what they say, and how an attachment's are removed.

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
class Layout:
    """The names and values of the keys, as one node writes them for a network."""

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

    def owner_value(self, addresses: Iterable[Address]) -> str:
        """The value of an owner key."""
        return " ".join((self.network, *map(str, addresses)))

    def owner_of(self, key: str) -> Attachment:
        """The attachment of an owner key of this node."""
        container_id, _, ifname = key.removeprefix(self.owners).partition("/")
        return Attachment(container_id, ifname)


def layout_of(settings: Settings, network: str) -> Layout:
    """The keys that a config means."""
    return Layout(settings.prefix, network, settings.node)


def read_owner_value(value: str) -> tuple[str, list[Address]]:
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


def release(etcd: Etcd, layout: Layout, entry: KeyValue) -> None:
    """Remove an owner key and those of its addresses that are still its own, or nothing.

    entry: the owner key as it was read. Raises EtcdError, and CniError(TRY_AGAIN_LATER) where it
    changes all the time.
    """
    from etcd_json import delete, get, unchanged, value_is

    holder = layout.holder(layout.owner_of(entry.key))
    keys = _address_keys(layout, entry)
    for _ in range(_TRIES):
        outcome = etcd.transact(
            [unchanged(entry.key, entry.mod_revision), *(value_is(key, holder) for key in keys)],
            [delete(entry.key), *map(delete, keys)],
            [get(entry.key), *map(get, keys)],
        )
        if outcome.succeeded:
            return
        now, *held = outcome.found
        if not now:
            return  # another DEL or GC came first
        if now[0].mod_revision != entry.mod_revision:
            entry = now[0]
            keys = _address_keys(layout, entry)
        else:
            keys = [found.key for each in held for found in each if found.value == holder]
    raise CniError(
        TRY_AGAIN_LATER,
        f"the key {entry.key} in etcd was changed {_TRIES} times while it was being removed",
    )


def _address_keys(layout: Layout, entry: KeyValue) -> list[str]:
    return list(map(layout.address_key, read_owner_value(entry.value)[1]))
