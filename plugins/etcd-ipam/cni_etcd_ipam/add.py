"""ADD: take an address of each range set in one transaction, or none.

The transaction takes the addresses if they are free and the attachment has none, and otherwise
answers what stood in its way. So most calls are one request, and a lost race costs one more.
"""

from __future__ import annotations

from cni.errors import DUPLICATE, TRY_AGAIN_LATER, CniError
from cni.range_config import require_tellable
from cni_etcd_ipam.choose import Draws
from cni_etcd_ipam.config import read_config
from cni_etcd_ipam.etcd_layout import layout_of, read_owner_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Attachment, Call
    from cni.ip import Address
    from cni.result import Result
    from cni_etcd_ipam.etcd_layout import Layout
    from etcd_json import Etcd, KeyValue, Outcome

_TRIES = 100
"""How often others may be faster. Each time that they are, one of them has got its address."""
_DOUBTS = 2
"""How often a transaction is repeated whose answer was lost."""


def add(call: Call) -> Result:
    """The attachment's addresses, gateways, routes and resolver settings. Raises CniError."""
    config = read_config(call)
    require_tellable(call.version, config.ranges.sets)
    dns = config.ranges.dns()
    layout = layout_of(config.etcd, call.network)
    draws = Draws(config.ranges.sets, config.ranges.requested)
    with config.etcd.session() as etcd:
        addresses = _Taking(etcd, layout, call.attachment, draws).addresses()
    return config.ranges.result(addresses, dns)


class _Taking:
    """One attachment's addresses on the way from free to its own."""

    __slots__ = ("_draws", "_etcd", "_in_doubt", "_layout", "_owner")

    def __init__(self, etcd: Etcd, layout: Layout, owner: Attachment, draws: Draws) -> None:
        self._etcd = etcd
        self._layout = layout
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
            entry, *held = outcome.found
            if entry:
                self._require_own(entry[0])
                return read_owner_value(entry[0].value)[1]
            self._draws.learn(self._etcd, self._layout, (one for each in held for one in each))
        raise CniError(
            TRY_AGAIN_LATER,
            f"others were faster {_TRIES} times in taking a free address below "
            f"{self._layout.addresses} in etcd",
        )

    def _transact(self, picked: list[Address]) -> Outcome:
        """Repeated where its answer is lost, which is safe: it can succeed only once.

        If the lost one was done, the repetition fails, and the attachment's owner key says so.
        """
        from etcd_json import EtcdError, absent, get, put

        owner_key = self._layout.owner_key(self._owner)
        owner_value = self._layout.owner_value(picked)
        holder = self._layout.holder(self._owner)
        keys = list(map(self._layout.address_key, picked))
        looked_at = list(map(self._layout.address_key, self._draws.considered))
        attempt = 0
        while True:
            try:
                return self._etcd.transact(
                    [absent(owner_key), *map(absent, keys)],
                    [put(owner_key, owner_value), *(put(key, holder) for key in keys)],
                    [get(owner_key), *map(get, looked_at)],
                )
            except EtcdError as error:
                attempt += 1
                if error.unknown:
                    self._in_doubt.add(owner_value)
                if not error.unknown or attempt > _DOUBTS:
                    if self._in_doubt:
                        error.add_note("the addresses may be taken all the same; a DEL frees them")
                    raise

    def _require_own(self, entry: KeyValue) -> None:
        """What this very call may have written is no second allocation."""
        if entry.value in self._in_doubt:
            return
        network, held = read_owner_value(entry.value)
        of = "" if network == self._layout.network else f" on network {network}"
        raise CniError(
            DUPLICATE,
            f"{', '.join(map(str, held)) or entry.key} has been allocated to "
            f"{self._owner.container_id}{of}, duplicate allocation is not allowed: DEL its "
            f"interface {self._owner.ifname} first",
        )
