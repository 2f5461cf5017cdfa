"""The caller of the call that is served, as far as it may wish to stop it."""

from __future__ import annotations

import _socket
import fcntl
import os

from cni import skel
from cnid.protocol import STOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # `signal` makes enums of the numbers with each call, which takes its time

_ENDING = (_signal.SIGTERM, _signal.SIGINT)


class Caller:
    """What happens on a call's connection while the call runs.

    The kernel sends SIGIO when something does (fcntl(2), O_ASYNC), whose handler must call `hear`.
    What is heard becomes the signal that a cold plugin would have got.
    """

    def __init__(self, connection: _socket.socket) -> None:
        self._connection = connection
        self._stopped = False

    def watch(self) -> None:
        """From now on it may stop the call: `skel.Terminated` may be raised."""
        fcntl.fcntl(self._connection, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._connection, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
        self.hear()  # what came before the kernel was asked to tell

    def ignore(self) -> None:
        """From now on it may not: the call has ended."""
        self._stopped = True
        fcntl.fcntl(self._connection, fcntl.F_SETFL, os.O_NONBLOCK)

    def hear(self) -> None:
        """Obey what it said, if it said something; to go away means SIGTERM."""
        if self._stopped:  # once is enough
            return
        try:
            said = self._connection.recv(16, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        self._stopped = True
        skel.obey_signals()
        number = said[1] if said.startswith(STOP) and len(said) == 2 else _signal.SIGTERM
        # Raised and not called: it waits while signals are held back.
        _signal.raise_signal(number if number in _ENDING else _signal.SIGTERM)


def pass_signals() -> None:
    """Let SIGTERM, SIGINT and SIGHUP pass. Not SIG_IGN, which a delegate would inherit."""
    for number in (*_ENDING, _signal.SIGHUP):
        _signal.signal(number, lambda *_: None)
