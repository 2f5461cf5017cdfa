"""`cnid overlay`: keep this host's overlays in step with their peers, in the foreground.

A process of its own, whether `cnid` starts it (`overlay_supervisor`) or somebody else does: what it
imports and remembers is no worker's, and a plugin's call is nothing to it.
"""

from __future__ import annotations

import os
import signal
import socket

from cni.errors import CniError
from cni.journal import log
from cni_vxlan import overlay, watchstate
from cni_vxlan.watcher import Watcher
from cnid.listen import claim, listen_unix
from cnid.overlay_configs import OverlayConfigs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_vxlan.overlay import Overlay


def run(directory: str, *, until_eof: bool) -> int:
    """Until SIGTERM or SIGINT, or the end of stdin; gives the exit status.

    directory: of the configurations. Raises OSError, ValueError where another one is here already.
    """
    ended, signalled = socket.socketpair()
    signalled.setblocking(False)
    signal.set_wakeup_fd(signalled.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # the wake-up descriptor tells
    stops = [ended.fileno(), *([0] if until_eof else ())]
    path = watchstate.path()
    claimed = claim(path)
    try:
        with listen_unix(path, socket.SOCK_STREAM) as listener:
            log("watching overlays", directory=directory, socket=path)
            Watcher(listener, _Overlays(directory), log, stops).run()
    finally:
        # Both, since a namespace that goes would leave them for ever. Should somebody take the
        # lock of a file that is gone, there are two of us for a while, which does no harm.
        for one in (path, f"{path}.lock"):
            try:
                os.unlink(one)
            except FileNotFoundError:
                pass
        os.close(claimed)
    log("no longer watching overlays")
    return 0


class _Overlays:
    """The overlays that the directory's networks are, where they have changed."""

    def __init__(self, directory: str) -> None:
        self._configs = OverlayConfigs(directory)

    def __call__(self) -> list[Overlay] | None:
        configs = self._configs.changed()
        if configs is None:
            return None
        found = []
        for name, config in configs:
            try:
                found.append(overlay.read(config, name))
            except CniError as error:
                log("this overlay is not watched", network=name, error=str(error))
        return found
