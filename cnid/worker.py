"""A worker: a forked copy of the daemon that serves one call at a time.

The call gets everything the cold executable would have: its stdin, stdout and stderr are the
process's own for its length, likewise umask and working directory. Only its caller can stop it
(see `caller`): systemd, for one, may send SIGTERM to every process of a unit that it stops, and
the calls under way are to end in order.
"""

from __future__ import annotations

import fcntl
import os
import time

from cni import skel
from cni.bundle import Bundle
from cnid import protocol, report
from cnid.caller import Caller, pass_signals
from cnid.protocol import ProtocolError
from cnid.streams import Stdin, Stdout, lend_stderr
from hostnet import netfilter, removal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from _socket import socket
    from collections.abc import Callable, Mapping

    from cni.skel import Plugin
    from cnid.door import Door
    from cnid.protocol import Request
    from cnid.report import Report
else:
    import _signal  # see `caller`

_NETNS = "/proc/thread-self/ns/net"


class Worker:
    """Serves what comes to its door until there is no more, or it is worn out.

    Takes over the process: its session, its signals, its stderr. plugins: the bundle's. calls: how
    many it serves before a fresh one takes its place. mask: the signals that are blocked.
    """

    def __init__(
        self,
        door: Door,
        plugins: Mapping[str, Callable[[], Plugin]],
        calls: int,
        mask: set[int | _signal.Signals],
    ) -> None:
        self._door = door
        self._plugins = plugins
        self._left = calls
        self._mask = {int(number) for number in mask}
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._log = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)  # 2 is lent to the calls
        self._home = protocol.identity(_NETNS)
        self._caller: Caller | None = None
        os.setsid()  # no terminal of the daemon's is the calls' affair, nor its ^C
        lend_stderr()
        netfilter.keep()
        removal.live_on()
        self._give_up()
        self._come_round()

    def run(self) -> None:
        """Serve until the daemon is gone or the worker is worn out."""
        while self._left > 0 and (arrived := self._door.wait()):
            self._left -= 1
            done = self._serve(*arrived)
            if protocol.identity(_NETNS) != self._home:
                # A defect of a plugin's, and the end of this worker: the host is elsewhere.
                done["strayed"] = True
                self._left = 0
            done["last"] = self._left <= 0
            if not self._door.tell(done, self._left <= 0):
                return
        if self._left <= 0:
            self._door.leave()

    def _serve(self, connection: socket, request: Request, descriptors: list[int]) -> Report:
        """One call; gives the report of it."""
        start = time.monotonic()
        try:
            stdin, stdout = self._adopt(request, descriptors)
        except (ProtocolError, OSError) as error:
            self._give_up()
            _tell(connection, protocol.REFUSED)
            self._come_round()
            return {"dropped": str(error)}
        self._caller = Caller(connection)
        bundle = Bundle(self._plugins, request.executable)
        status = skel.serve(
            request.plugin, bundle, request.environ, stdin, stdout, obey=self._caller.watch
        )
        self._caller.ignore()
        self._give_up()  # first, since what a process has is gone when its end is heard of
        _tell(connection, protocol.DONE + bytes([status & 0xFF]))
        self._come_round()
        seconds = time.monotonic() - start
        waited = max(0.0, start - request.since / 1e9)
        return report.of_call(
            request, stdin.seen, stdout.seen, status, seconds=seconds, waited=waited
        )

    def _adopt(self, request: Request, descriptors: list[int]) -> tuple[Stdin, Stdout]:
        """Take on what is the caller's, and the call.

        Raises OSError, ProtocolError where it cannot be done; the call is then the caller's still.
        """
        *streams, directory, token = descriptors
        try:
            for number, fd in enumerate(streams):
                os.dup2(fd, number)
            os.fchdir(directory)
            os.umask(request.umask)
            netns = request.environ.get("CNI_NETNS")
            if netns and protocol.identity(netns) != request.netns:
                raise ProtocolError("CNI_NETNS is another file when the caller opens it")
            lent = Stdin(), Stdout()
            if not protocol.take(token):
                raise ProtocolError("the caller has taken it back")
            return lent
        finally:
            for fd in descriptors:
                os.close(fd)

    def _give_up(self) -> None:
        """Give up what belonged to the caller."""
        self._caller = None
        for number, fd in enumerate((self._null, self._null, self._log)):
            os.dup2(fd, number)
        os.chdir("/")

    def _come_round(self) -> None:
        """Undo whatever a plugin may have left changed; while the caller goes on already."""
        os.umask(0o022)
        pass_signals()
        _signal.signal(_signal.SIGIO, self._on_io)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)

    def _on_io(self, *_: object) -> None:
        if self._caller is not None:
            self._caller.hear()


def _tell(connection: socket, message: bytes) -> None:
    """The last word, and the end of the connection."""
    try:
        connection.send(message)
    except OSError:  # it is gone
        pass
    connection.close()
