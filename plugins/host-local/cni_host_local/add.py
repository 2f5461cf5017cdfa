"""ADD: reserve an address of each range set, durably, or none.

The order is that of the promises it keeps. Outside the lock the reservations are written to the
disk, still without a name; under it the addresses are chosen and the names given; outside again
the names are waited for. So a name never comes without its content, waiting for the disk holds up
nobody else (the journal writes for all who wait at once), and success is told when all is there.
"""

from __future__ import annotations

from cni.errors import TRY_AGAIN_LATER, CniError
from cni.range_config import require_tellable
from cni_host_local.choose import choose
from cni_host_local.config import read_config
from cni_host_local.ledger import Ledger
from cni_host_local.store import create_store, name_of, unusable, wide
from hostnet.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Attachment, Call
    from cni.ip import Address
    from cni.result import Result
    from cni_host_local.config import Config
    from cni_host_local.store import Draft, Store

_TRIES = 5
"""How often somebody without the lock may take the chosen address or the directory away."""


def add(call: Call) -> Result:
    """The attachment's addresses, gateways, routes and resolver settings. Raises CniError."""
    config = read_config(call)
    require_tellable(call.version, config.ranges.sets)
    dns = config.ranges.dns()
    try:
        addresses = _reserve(config, call.attachment)
    except OSError as error:
        raise unusable(config.directory, error) from error
    return config.ranges.result(addresses, dns)


def _reserve(config: Config, owner: Attachment) -> list[Address]:
    for _ in range(_TRIES):
        with create_store(config.directory) as store:
            addresses = _reserve_in(store, config, owner)
        if addresses is not None:
            return addresses
    raise CniError(
        TRY_AGAIN_LATER,
        f"address directory {config.directory}: somebody without its lock has changed it "
        f"{_TRIES} times in the middle of this ADD",
    )


def _reserve_in(store: Store, config: Config, owner: Attachment) -> list[Address] | None:
    """None where somebody without the lock was in between: try once more."""
    drafts: list[Draft] = []
    try:
        with Undo() as undo:
            undo.push(_withdraw, store, drafts)
            drafts += (store.draft(owner) for _ in config.ranges.sets)
            with store.lock:
                if not store.in_place():
                    return None
                addresses = _allocate(store, config, owner, drafts)
            if addresses is not None:
                for draft in drafts:
                    draft.sync()
                store.sync()
            return addresses
    except FileNotFoundError:
        if store.in_place():
            raise
        return None  # the directory was removed: its lock file could not be made
    finally:
        for draft in drafts:
            draft.close()


def _allocate(
    store: Store, config: Config, owner: Attachment, drafts: list[Draft]
) -> list[Address] | None:
    ledger = Ledger(store, release=config.release)
    ledger.release_earlier(owner)
    try:
        addresses = choose(store, ledger, config, owner)
        for draft, address in zip(drafts, addresses, strict=True):
            draft.publish(name_of(wide(address)))
    except FileExistsError:
        for draft in drafts:
            draft.withdraw()
        ledger.rescan()
        ledger.save()
        return None
    except CniError:
        ledger.save()  # what a scan has found out serves the next call
        raise
    for index, address in enumerate(addresses):
        ledger.add(wide(address), owner)
        # Those that are taken in turn go on where they were: the round robin then comes by at an
        # address that a workload has left as late as can be.
        if not config.workload:
            store.set_last_reserved(index, address)
    ledger.save()
    return addresses


def _withdraw(store: Store, drafts: list[Draft]) -> None:
    """Take back the names that were given.

    With the lock, or else another call's index could miss it; without, where that is not to be had.
    """
    published = [draft for draft in drafts if draft.is_published()]
    if not published:
        return
    try:
        store.lock.acquire()
    finally:
        for draft in published:
            draft.withdraw()
        store.lock.release()
