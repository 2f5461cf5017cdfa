"""STATUS: whether an ADD would find its configuration right and its directory usable.

Asked every few seconds by kubelet and CRI-O: a few stat calls, and no lock unless
`reportExhaustion` wants the ranges looked at.
"""

from __future__ import annotations

import os

from cni.errors import NO_ADDRESS, NOT_AVAILABLE, CniError
from cni_host_local.config import read_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_host_local.config import Config


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE) with the reason why an ADD could not succeed."""
    try:
        config = read_config(call)
        config.ranges.dns()
    except CniError as error:
        raise CniError(NOT_AVAILABLE, error.msg, error.details) from error
    problem = _directory_problem(config.directory)
    if problem:
        raise CniError(
            NOT_AVAILABLE,
            f'key "ipam.dataDir": addresses cannot be kept in {config.directory}: {problem}',
        )
    if config.ranges.report_exhaustion:
        _refuse_exhausted(config)


def _directory_problem(directory: str) -> str:
    """Why reservations could not be made there; empty if they could. It need not exist yet."""
    existing = directory
    try:
        while not os.path.lexists(existing or "."):
            existing = os.path.dirname(existing)
        existing = existing or "."
        if not os.path.isdir(existing):
            return f"{existing} is no directory"
        if not os.access(existing, os.W_OK | os.X_OK):
            return f"{existing} is not writable"
        lock = os.path.join(directory, "lock")
        if os.path.lexists(lock) and not (os.path.isfile(lock) and os.access(lock, os.W_OK)):
            return f"{lock} is no file that can be written"
        room = os.statvfs(existing)
    except OSError as error:
        return f"{existing}: {error.strerror}"
    # Some file systems, btrfs among them, count no files.
    if room.f_bfree == 0 or (room.f_files and room.f_ffree == 0):
        return f"the file system of {existing} is full"
    return ""


def _refuse_exhausted(config: Config) -> None:
    from cni_host_local.choose import next_address
    from cni_host_local.ledger import Ledger
    from cni_host_local.store import open_store, unusable

    try:
        store = open_store(config.directory)
        if store is None:
            return
        with store, store.lock:
            ledger = Ledger(store, release=config.release)
            try:
                for one in config.ranges.sets:
                    next_address(store, ledger, one, one.spans())
            finally:
                ledger.save()
    except CniError as error:
        if error.code != NO_ADDRESS:
            raise
        raise CniError(NOT_AVAILABLE, error.msg, error.details) from error
    except OSError as error:
        raise CniError(NOT_AVAILABLE, unusable(config.directory, error).msg) from error
