"""DEL and GC: give the interface back what it had, by the backup that ADD has left.

Without a backup nothing of the kernel's is loaded: most configs only have sysctls, or nothing.
"""

from __future__ import annotations

import errno
import os

from cni.errors import TRY_AGAIN_LATER, CniError, together
from cni_tuning import backup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_tuning.attributes import Attributes

_PASSING = (errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT)
"""What may go well when it is tried again."""


def delete(call: Call, data_dir: str) -> None:
    """Give the interface back what it had; nothing to do where it is gone.

    Raises CniError(TRY_AGAIN_LATER) for what may go well another time. What the interface refuses
    is told on stderr, as with the reference, for it must not keep a container from being deleted.
    """
    path = backup.file_of(data_dir, call.attachment)
    try:
        saved = backup.read(path)
        if saved is not None and call.netns:
            _restore(call, backup.attributes(saved))
        backup.remove(path)
    except OSError as error:
        raise CniError(
            TRY_AGAIN_LATER, f"interface {call.ifname} could not be given back what it had: {error}"
        ) from error


def _restore(call: Call, before: Attributes) -> None:
    from cni.stderr import say
    from cni_tuning.attributes import of_link, set_on
    from hostnet import link
    from hostnet.netlink import NetlinkError
    from hostnet.netns import NetNS

    with NetNS.open(call.netns) as ns, ns.netlink() as nl:
        found = link.find(nl, call.ifname)
        if found is None:
            return
        for key, one in before.single():
            if of_link(found, one) == one:
                continue
            try:
                set_on(nl, found.index, one)
            except NetlinkError as error:
                if error.errno in _PASSING or error.unanswered:
                    raise
                say(f"tuning: {key} of interface {call.ifname} stays as it is: {error}\n")


def gc(call: Call, data_dir: str) -> None:
    """Remove the backups of this network's attachments that are not valid any more.

    Raises CniError(TRY_AGAIN_LATER) for all that failed.
    """
    valid = {backup.file_of(data_dir, one) for one in call.valid_attachments}
    errors: list[CniError] = []
    try:
        for path in backup.of_network(data_dir, call.network):
            if path not in valid:
                try:
                    backup.remove(path)
                except OSError as error:
                    errors.append(_not_removed(data_dir, error))
    except OSError as error:
        errors.append(_not_removed(data_dir, error))
    if errors:
        raise together(errors)


def _not_removed(data_dir: str, error: OSError) -> CniError:
    return CniError(TRY_AGAIN_LATER, f'key "dataDir": {os.path.abspath(data_dir)}: {error}')
