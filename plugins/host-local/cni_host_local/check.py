"""CHECK: the attachment still holds the addresses that ADD gave it."""

from __future__ import annotations

from cni.errors import CHECK_FAILED, CniError
from cni_host_local.config import read_config
from cni_host_local.ledger import Ledger
from cni_host_local.store import name_of, open_store, split_holder, unusable, wide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Attachment, Call
    from cni.ip import Address
    from cni_host_local.store import Store


def check(call: Call) -> None:
    """Raise CniError(CHECK_FAILED) that names each reservation that is missing or another's.

    Of the previous result's addresses those count that lie in the configured ranges; where it has
    none of them, the attachment must hold at least one, which is all that the reference asks.
    """
    config = read_config(call)
    previous = call.prev_result.ips if call.prev_result is not None else ()
    expected = [item.address.ip for item in previous]
    ours = [one for one in expected if any(each.range_of(one) for each in config.sets)]
    store = open_store(config.directory)
    if store is None:
        raise _failed(call.attachment, [f"the directory {config.directory} is missing"])
    with store:
        try:
            if ours:
                problems = [_problem(store, address, call.attachment) for address in ours]
            else:
                problems = _none_at_all(store, call.attachment)
        except OSError as error:
            raise unusable(config.directory, error) from error
    if any(problems):
        raise _failed(call.attachment, problems)


def _problem(store: Store, address: Address, owner: Attachment) -> str:
    """What is wrong with one reservation; empty if nothing is. Needs no lock."""
    name = name_of(wide(address))
    content = store.read(name)
    if content is None:
        return f"the reservation {store.path}/{name} is missing"
    holder = split_holder(content)
    if holder is None:
        return f"the reservation {store.path}/{name} is empty"
    if holder[0] != owner.container_id.encode() or holder[1] not in (b"", owner.ifname.encode()):
        held_by = " ".join(part.decode(errors="replace")[:80] for part in holder)
        return f"{address} is reserved for {held_by}"
    return ""


def _none_at_all(store: Store, owner: Attachment) -> list[str]:
    with store.lock:
        ledger = Ledger(store)
        found = ledger.held_by(owner)
        ledger.save()
    return [] if found else [f"no reservation in {store.path} is its own"]


def _failed(owner: Attachment, problems: list[str]) -> CniError:
    return CniError(
        CHECK_FAILED,
        f"Failed to find address added by container {owner.container_id} ({owner.ifname}): "
        f"{'; '.join(filter(None, problems))}",
    )
