"""Which addresses an attachment gets: the ones asked for, or the first free ones. Nothing is taken.

All is chosen before anything is reserved, so that a range set that is full leaves no trace in the
others.
"""

from __future__ import annotations

from cni.errors import DUPLICATE, NO_ADDRESS, CniError, together
from cni.ranges import address_of, size
from cni_host_local.store import name_of, split_holder, wide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Attachment
    from cni.ip import Address
    from cni.ranges import RangeSet, Span
    from cni_host_local.config import Config
    from cni_host_local.ledger import Ledger
    from cni_host_local.store import Store

_HOLDERS_SHOWN = 8


def choose(store: Store, ledger: Ledger, config: Config, owner: Attachment) -> list[Address]:
    """An address of each range set.

    Raises CniError: DUPLICATE where the attachment has one already or somebody else has the one
    asked for, NO_ADDRESS where a set is full.
    """
    held = [_narrow(number) for number in ledger.held_by(owner)]
    chosen: list[Address] = []
    errors: list[CniError] = []
    asked_for = zip(config.ranges.sets, config.ranges.requested, strict=True)
    for index, (one, asked) in enumerate(asked_for):
        try:
            _refuse_second(one, held, owner)
            if asked is not None:
                chosen.append(_asked_for(store, one, asked))
            else:
                chosen.append(next_address(store, ledger, one, order(store, config, index)))
        except CniError as error:
            msg = f"failed to allocate for range {index}: {error.msg}"
            errors.append(CniError(error.code, msg, error.details))
    if errors:
        raise together(errors)
    return chosen


def _refuse_second(one: RangeSet, held: list[Address], owner: Attachment) -> None:
    for address in held:
        if one.range_of(address) is not None:
            raise CniError(
                DUPLICATE,
                f"{address} has been allocated to {owner.container_id}, duplicate allocation is "
                f"not allowed: DEL its interface {owner.ifname} first",
            )


def _asked_for(store: Store, one: RangeSet, address: Address) -> Address:
    reason = one.why_not(address)
    if reason:
        raise CniError(NO_ADDRESS, f"requested ip {address} {reason}: ask for another one")
    name = name_of(wide(address))
    content = store.read(name)
    if content is not None:
        if split_holder(content) is not None:
            raise CniError(
                DUPLICATE,
                f"requested IP address {address} is not available in range set {one}: "
                f"{_holder_text(content)} has it; ask for another one, or remove that container",
            )
        store.remove(name)
    return address


def order(store: Store | None, config: Config, index: int) -> list[Span]:
    """The order in which the addresses of a range set are looked at for a free one."""
    one = config.ranges.sets[index]
    if config.workload:
        from cni_host_local.sticky import place

        return one.spans_from(place(one, config.workload))
    return one.spans(store.last_reserved(index) if store is not None else None)


def next_address(store: Store, ledger: Ledger, one: RangeSet, ordered: list[Span]) -> Address:
    """The first free address of a range set.

    ordered: all of it. Raises CniError(NO_ADDRESS), which says who holds them.
    """
    spans = [_wide_span(span, one) for span in ordered]
    found = ledger.next_free(spans)
    if found is None and ledger.worth_a_scan():
        ledger.rescan()
        found = ledger.next_free(spans)
    if found is None:
        raise _full(store, one)
    return _narrow(found)


def _full(store: Store, one: RangeSet) -> CniError:
    spans = one.spans()
    total = size(spans)
    shown: list[str] = []
    for low, high in (_wide_span(span, one) for span in spans):
        for number in range(low, min(high + 1, low + _HOLDERS_SHOWN - len(shown))):
            content = store.read(name_of(number)) or b""
            shown.append(f"{_narrow(number)} by {_holder_text(content)}")
    more = f", and {total - len(shown)} more" if total > len(shown) else ""
    return CniError(
        NO_ADDRESS,
        f"no IP addresses available in range set: {one}: all {total} are held; "
        'DEL or GC the containers that are gone, or widen the range in "ipam"',
        f"held in {store.path}: {', '.join(shown)}{more}",
    )


def _holder_text(content: bytes) -> str:
    holder = split_holder(content)
    if holder is None:
        return "an unknown container"
    container_id, ifname = (part.decode(errors="replace")[:80] for part in holder)
    return f"container {container_id}" + (f" ({ifname})" if ifname else "")


def _wide_span(span: Span, one: RangeSet) -> Span:
    first = wide(address_of(span[0], one.version))
    return first, first + span[1] - span[0]


def _narrow(number: int) -> Address:
    if number >> 32 == 0xFFFF:
        return address_of(number & 0xFFFFFFFF, 4)
    return address_of(number, 6)
