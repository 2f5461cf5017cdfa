"""DEL: release the attachment's reservations; done already is done.

Only the data directory and the network's name matter: a DEL works where the rest of a
configuration became wrong meanwhile.
"""

from __future__ import annotations

from cni.errors import TRY_AGAIN_LATER, CniError
from cni_host_local.config import read_directory, read_release
from cni_host_local.ledger import Ledger
from cni_host_local.store import name_of, open_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Attachment, Call
    from cni_host_local.store import Store


def delete(call: Call) -> None:
    """Release what the attachment holds.

    Raises CniError(TRY_AGAIN_LATER) unless it is proved that nothing is held any more.
    """
    directory = read_directory(call)
    try:
        while not _release_at(directory, read_release(call), call.attachment):
            pass
    except OSError as error:
        raise CniError(
            TRY_AGAIN_LATER,
            f"address directory {directory}: {error.strerror or error}; the reservations of "
            f"container {call.container_id} ({call.ifname}) may still be there: mend it and "
            "repeat the DEL",
        ) from error


def _release_at(directory: str, earlier: bool, owner: Attachment) -> bool:
    """False where the directory was replaced by another one in the meantime."""
    store = open_store(directory)
    if store is None:
        return True
    with store:
        try:
            with store.lock:
                if not store.in_place():
                    return False
                released = _release(store, earlier, owner)
        except FileNotFoundError:
            if store.in_place():
                raise
            return False
        if released:
            store.sync()
    return True


def _release(store: Store, earlier: bool, owner: Attachment) -> bool:
    ledger = Ledger(store, release=earlier)
    held = ledger.held_by(owner)
    problem: OSError | None = None
    for address in held:
        try:
            store.remove(name_of(address))
        except OSError as error:
            problem = error
        else:
            ledger.discard(address, owner)
    ledger.save()
    if problem is not None:
        raise problem
    return bool(held)
