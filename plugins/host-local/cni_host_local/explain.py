"""What ADD would do: the addresses that come next, of which none is taken.

Nothing is locked, so another ADD may be faster.
"""

from __future__ import annotations

from cni.errors import DUPLICATE, NO_ADDRESS, CniError
from cni.explained import TAKES, Explained, Step
from cni.range_config import require_tellable
from cni.ranges import address_of
from cni_host_local.config import read_config
from cni_host_local.store import name_of, open_store, split_holder, wide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Address
    from cni.ranges import RangeSet
    from cni_host_local.store import Store


def explain(call: Call) -> Explained:
    """The next free address of each range set. Raises CniError, OSError."""
    config = read_config(call)
    require_tellable(call.version, config.ranges.sets)
    store = open_store(config.directory)
    steps: list[Step] = []
    addresses: list[Address] = []
    try:
        asked_for = zip(config.ranges.sets, config.ranges.requested, strict=True)
        for index, (one, asked) in enumerate(asked_for):
            if asked is not None:
                found, why = _asked(store, one, asked), "it is asked for"
            else:
                found, why = _next(store, one, index), "the next free one"
            addresses.append(found)
            text = f"{why} of {one}, kept in {config.directory}"
            steps.append(Step(TAKES, "address", str(found), text))
    finally:
        if store is not None:
            with store:
                pass
    return Explained(tuple(steps), config.ranges.result(addresses, config.ranges.dns()))


def _asked(store: Store | None, one: RangeSet, address: Address) -> Address:
    reason = one.why_not(address)
    if reason:
        raise CniError(NO_ADDRESS, f"requested ip {address} {reason}: ask for another one")
    if not _is_free(store, address):
        raise CniError(DUPLICATE, f"requested ip {address} is held already: ask for another one")
    return address


def _next(store: Store | None, one: RangeSet, index: int) -> Address:
    after = store.last_reserved(index) if store is not None else None
    for first, last in one.spans(after):
        for number in range(first, last + 1):
            address = address_of(number, one.version)
            if _is_free(store, address):
                return address
    raise CniError(
        NO_ADDRESS,
        f"no IP addresses available in range set: {one}: DEL or GC the containers that are gone, "
        'or widen the range in "ipam"',
    )


def _is_free(store: Store | None, address: Address) -> bool:
    content = store.read(name_of(wide(address))) if store is not None else None
    return content is None or split_holder(content) is None
