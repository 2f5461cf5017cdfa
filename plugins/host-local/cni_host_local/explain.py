"""What ADD would do: the addresses that come next, of which none is taken.

Nothing is locked, so another ADD may be faster.
"""

from __future__ import annotations

from cni.errors import DUPLICATE, NO_ADDRESS, CniError
from cni.explained import TAKES, Explained, Step
from cni.range_config import require_tellable
from cni.ranges import address_of
from cni_host_local.choose import order
from cni_host_local.config import read_config
from cni_host_local.store import name_of, open_store, split_holder, wide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Address
    from cni.ranges import RangeSet
    from cni_host_local.config import Config
    from cni_host_local.store import Store

_NEXT = "the next free one"


def explain(call: Call) -> Explained:
    """The next free address of each range set. Raises CniError, OSError."""
    config = read_config(call)
    require_tellable(call.version, config.ranges.sets)
    store = open_store(config.directory)
    if store is None:
        return _explained(config, None)
    with store:
        return _explained(config, store)


def _explained(config: Config, store: Store | None) -> Explained:
    steps: list[Step] = []
    addresses: list[Address] = []
    asked_for = zip(config.ranges.sets, config.ranges.requested, strict=True)
    for index, (one, asked) in enumerate(asked_for):
        if asked is not None:
            found, why = _asked(store, config, one, asked), "it is asked for"
        else:
            found = _next(store, config, one, index)
            why = "the next free one from the workload's own place on" if config.workload else _NEXT
        addresses.append(found)
        text = f"{why} of {one}, kept in {config.directory}"
        steps.append(Step(TAKES, "address", str(found), text))
    return Explained(tuple(steps), config.ranges.result(addresses, config.ranges.dns()))


def _asked(store: Store | None, config: Config, one: RangeSet, address: Address) -> Address:
    reason = one.why_not(address)
    if reason:
        raise CniError(NO_ADDRESS, f"requested ip {address} {reason}: ask for another one")
    if not _is_free(store, config, address):
        raise CniError(DUPLICATE, f"requested ip {address} is held already: ask for another one")
    return address


def _next(store: Store | None, config: Config, one: RangeSet, index: int) -> Address:
    for first, last in order(store, config, index):
        for number in range(first, last + 1):
            address = address_of(number, one.version)
            if _is_free(store, config, address):
                return address
    raise CniError(
        NO_ADDRESS,
        f"no IP addresses available in range set: {one}: DEL or GC the containers that are gone, "
        'or widen the range in "ipam"',
    )


def _is_free(store: Store | None, config: Config, address: Address) -> bool:
    """Whether ADD would give it: nobody has it, or nobody since the last boot."""
    if store is None:
        return True
    name = name_of(wide(address))
    try:
        content = store.read(name)
        if content is None or split_holder(content) is None:
            return True
        return config.release and store.is_of_earlier_boot(name)
    except OSError:
        return False  # what cannot be read is taken
