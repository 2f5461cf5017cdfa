"""GC: release the reservations in this network's directory that no valid attachment has."""

from __future__ import annotations

from cni.errors import IO_FAILURE, CniError, together
from cni.names import name_problem
from cni_host_local.config import read_directory, read_release
from cni_host_local.ledger import Ledger
from cni_host_local.store import open_store, unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Attachment, Call
    from cni_host_local.ledger import Keep


def gc(call: Call) -> None:
    """Release all but the reservations of `call.valid_attachments`, going on after errors.

    Raises CniError(IO_FAILURE) that names each file which could not be read or removed.
    """
    directory = read_directory(call)
    try:
        problems = _sweep(directory, read_release(call), _keep_valid(call.valid_attachments))
    except OSError as error:
        raise unusable(directory, error) from error
    if problems:
        raise together(
            [
                CniError(IO_FAILURE, f"reservation {problem.filename}: {problem.strerror}")
                for problem in problems
            ]
        )


def _sweep(directory: str, release: bool, keep: Keep) -> list[OSError]:
    store = open_store(directory)
    if store is None:
        return []
    with store:
        with store.lock:
            ledger = Ledger(store, release=release, keep=keep)
            ledger.save()
        if ledger.removed:
            store.sync()
    return ledger.problems


def _keep_valid(valid: frozenset[Attachment]) -> Keep:
    pairs = {(one.container_id.encode(), one.ifname.encode()) for one in valid}
    ids = {container_id for container_id, _ in pairs}

    def keep(container_id: bytes, ifname: bytes) -> bool:
        if (container_id, ifname) in pairs or (not ifname and container_id in ids):
            return True
        # What cannot be a container's id is no attachment's: somebody's note, left alone.
        return bool(name_problem(container_id.decode(errors="surrogateescape")))

    return keep
