"""ADD: take an address of each range set in one transaction, or none.

The transaction takes the addresses if they are free and the attachment has none, and otherwise
answers what stood in its way. So most calls are one request, and a lost race costs one more.
"""

from __future__ import annotations

from cni.errors import DUPLICATE, TRY_AGAIN_LATER, CniError
from cni.range_config import ip_config, require_tellable
from cni.result import DNS, Result
from cni_etcd_ipam.book import book_of, read_page
from cni_etcd_ipam.choose import Draws
from cni_etcd_ipam.config import read_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Attachment, Call
    from cni.ip import Address
    from cni_etcd_ipam.book import Book
    from etcd_json import Etcd, KeyValue, Outcome

_TRIES = 100
"""How often others may be faster. Each time that they are, one of them has got its address."""
_DOUBTS = 2
"""How often a transaction is repeated whose answer was lost."""


def add(call: Call) -> Result:
    """The attachment's addresses, gateways, routes and resolver settings. Raises CniError."""
    config = read_config(call)
    require_tellable(call.version, config.sets)
    dns = DNS()
    if config.resolv_conf:
        from cni.resolvconf import read_resolv_conf

        dns = read_resolv_conf(config.resolv_conf)
    book = book_of(config.etcd, call.network)
    draws = Draws(config.sets, config.requested)
    with config.etcd.session() as etcd:
        addresses = _Taking(etcd, book, call.attachment, draws).addresses()
    ips = tuple(map(ip_config, config.sets, addresses))
    return Result(ips=ips, routes=config.routes, dns=dns)


class _Taking:
    """One attachment's addresses on the way from free to its own."""

    __slots__ = ("_book", "_draws", "_etcd", "_in_doubt", "_owner")

    def __init__(self, etcd: Etcd, book: Book, owner: Attachment, draws: Draws) -> None:
        self._etcd = etcd
        self._book = book
        self._owner = owner
        self._draws = draws
        self._in_doubt: set[str] = set()

    def addresses(self) -> list[Address]:
        """Raises CniError and EtcdError, and then nothing is taken unless a note says so."""
        for _ in range(_TRIES):
            picked = self._draws.picked
            outcome = self._transact(picked)
            if outcome.succeeded:
                return picked
            page, *held = outcome.found
            if page:
                self._require_own(page[0])
                return read_page(page[0].value)[1]
            self._draws.learn(self._etcd, self._book, (one for each in held for one in each))
        raise CniError(
            TRY_AGAIN_LATER,
            f"others were faster {_TRIES} times in taking a free address below "
            f"{self._book.addresses} in etcd",
        )

    def _transact(self, picked: list[Address]) -> Outcome:
        """Repeated where its answer is lost, which is safe: it can succeed only once.

        If the lost one was done, the repetition fails, and the attachment's page says so.
        """
        from etcd_json import EtcdError, absent, get, put

        page_key, page = self._book.owner_key(self._owner), self._book.page(picked)
        holder = self._book.holder(self._owner)
        keys = list(map(self._book.address_key, picked))
        looked_at = list(map(self._book.address_key, self._draws.considered))
        attempt = 0
        while True:
            try:
                return self._etcd.transact(
                    [absent(page_key), *map(absent, keys)],
                    [put(page_key, page), *(put(key, holder) for key in keys)],
                    [get(page_key), *map(get, looked_at)],
                )
            except EtcdError as error:
                attempt += 1
                if error.unknown:
                    self._in_doubt.add(page)
                if not error.unknown or attempt > _DOUBTS:
                    if self._in_doubt:
                        error.add_note("the addresses may be taken all the same; a DEL frees them")
                    raise

    def _require_own(self, page: KeyValue) -> None:
        """What this very call may have written is no second allocation."""
        if page.value in self._in_doubt:
            return
        network, held = read_page(page.value)
        of = "" if network == self._book.network else f" on network {network}"
        raise CniError(
            DUPLICATE,
            f"{', '.join(map(str, held)) or page.key} has been allocated to "
            f"{self._owner.container_id}{of}, duplicate allocation is not allowed: DEL its "
            f"interface {self._owner.ifname} first",
        )
