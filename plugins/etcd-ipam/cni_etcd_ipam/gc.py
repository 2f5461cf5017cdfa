"""GC: free the addresses that this node's invalid attachments hold on this network."""

from __future__ import annotations

from cni.errors import CniError, together
from cni_etcd_ipam.book import book_of, read_page, release
from cni_etcd_ipam.config import read_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Attachment, Call
    from cni_etcd_ipam.book import Book
    from etcd_json import Etcd, KeyValue


_PATIENCE = 3
"""Errors after which the rest is left to the next GC: each may have waited for a time-out."""


def gc(call: Call) -> None:
    """Free all but the addresses of `call.valid_attachments`, going on after errors.

    Other nodes' attachments are theirs to judge, and another network's on the same prefix are
    another GC's. Raises CniError.
    """
    settings = read_settings(call)
    book = book_of(settings, call.network)
    errors: list[CniError] = []
    with settings.session() as etcd:
        for page in _stale(etcd, book, call.valid_attachments):
            try:
                release(etcd, book, page)
            except CniError as error:
                errors.append(error)
            except OSError as error:
                errors.append(settings.explained(error))
            if len(errors) == _PATIENCE:
                break
    if errors:
        raise together(errors)


def _stale(etcd: Etcd, book: Book, valid: frozenset[Attachment]) -> Iterator[KeyValue]:
    for page in etcd.list(book.owners)[0]:
        if read_page(page.value)[0] == book.network and book.owner_of(page.key) not in valid:
            yield page
