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
    from cni_host_local.config import Config
    from cni_host_local.store import Store


def check(call: Call) -> None:
    """Raise CniError(CHECK_FAILED) that names each reservation that is missing or another's.

    Of the previous result's addresses those count that lie in the configured ranges; where it has
    none of them, the attachment must hold at least one, which is all that the reference asks.
    """
    config = read_config(call)
    previous = call.prev_result.ips if call.prev_result is not None else ()
    expected = [item.address.ip for item in previous]
    ours = [one for one in expected if any(each.range_of(one) for each in config.ranges.sets)]
    try:
        problems = _problems(config, ours, call.attachment)
    except OSError as error:
        raise unusable(config.directory, error) from error
    if problems:
        raise CniError(
            CHECK_FAILED,
            f"Failed to find address added by container {call.container_id} ({call.ifname}): "
            f"{'; '.join(problems)}",
        )


def _problems(config: Config, expected: list[Address], owner: Attachment) -> list[str]:
    store = open_store(config.directory)
    if store is None:
        return [f"the directory {config.directory} is missing"]
    with store:
        if expected:
            return list(filter(None, (_problem(store, address, owner) for address in expected)))
        with store.lock:
            ledger = Ledger(store, release=config.release)
            found = ledger.held_by(owner)
            ledger.save()
        return [] if found else [f"no reservation in {config.directory} is its own"]


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
