"""GC: free the addresses that this node's invalid attachments hold on this network."""

from __future__ import annotations

from cni.errors import CniError, together
from cni_etcd_ipam.config import read_settings
from cni_etcd_ipam.etcd_layout import layout_of, read_owner_value, release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Attachment, Call
    from cni_etcd_ipam.etcd_layout import Layout
    from etcd_json import Etcd, KeyValue


_PATIENCE = 3
"""Errors after which the rest is left to the next GC: each may have waited for a time-out."""


def gc(call: Call) -> None:
    """Free all but the addresses of `call.valid_attachments`, going on after errors.

    Other nodes' attachments are theirs to judge, and another network's on the same prefix are
    another GC's. Raises CniError.
    """
    settings = read_settings(call)
    layout = layout_of(settings, call.network)
    errors: list[CniError] = []
    with settings.session() as etcd:
        for entry in stale(etcd, layout, call.valid_attachments):
            try:
                release(etcd, layout, entry)
            except CniError as error:
                errors.append(error)
            except OSError as error:
                errors.append(settings.explained(error))
            if len(errors) == _PATIENCE:
                break
    if errors:
        raise together(errors)


def stale(etcd: Etcd, layout: Layout, valid: frozenset[Attachment]) -> Iterator[KeyValue]:
    """The owner keys of this node and network but those of valid attachments. Raises EtcdError."""
    for entry in etcd.list(layout.owners)[0]:
        network, _ = read_owner_value(entry.value)
        if network == layout.network and layout.owner_of(entry.key) not in valid:
            yield entry
