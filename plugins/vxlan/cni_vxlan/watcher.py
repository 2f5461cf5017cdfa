"""The process that keeps overlays in step with their peers: one loop, and threads that only read.

The loop waits by poll(2) for the kernel's announcements, for what the threads bring from etcd, for
who asks for the state, and for the time. It alone programs the kernel, so nothing needs a lock but
what plugins do at the same time, which have the namespace's. Each network with etcd peers has two
threads, `feed` and `membership`: a request to an etcd that is dead takes seconds to fail, and
neither the kernel's tables nor those who ask for the state may wait for it. Considered: asyncio
(etcd's client blocks, and netlink would be polled all the same), everything in one poll loop (a
client made of callbacks, against one whose code is read from top to bottom), and a thread for each
network that does all of it (then one that waits for etcd hears no link go down).

It holds no state that matters: all it knows is read anew from etcd, the configuration and the
kernel when it starts, so that it may be killed at any time. What is in the kernel stays when it
ends, and it never removes a device.
"""

from __future__ import annotations

import os
import select
import struct
import time
from _socket import SO_SNDBUF, SOL_SOCKET
from collections import deque

from cni import jsontext
from cni_vxlan.keeper import Keeper
from hostnet import netfilter, process
from hostnet.monitor import RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_LINK, Monitor
from hostnet.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from socket import socket

    from cni.jsonvalue import JsonValue
    from cni_vxlan.keeper import Log, News
    from cni_vxlan.overlay import Overlay
    from hostnet.monitor import Heard

CONFIG_SECONDS = 1.0
_GROUPS = (RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR)
_INDEX = struct.Struct("=4xi")
_QUIET_SECONDS = 0.02
"""Announcements come in bursts, above all when containers start: what they mean is looked at once
for as many as come within this time."""


class Watcher:
    """Keeps the overlays of the calling thread's network namespace.

    listener: a listening stream socket for those who ask for the state. load: gives the overlays
    there are to be, or None where they are as before; it is called every second. log: takes a line
    with facts. stops: descriptors of which any ends the watcher once it is readable.
    """

    def __init__(
        self,
        listener: socket,
        load: Callable[[], Collection[Overlay] | None],
        log: Log,
        stops: Collection[int],
    ) -> None:
        self._listener = listener
        self._load = load
        self._log = log
        self._stops = stops
        self._keepers: list[Keeper] = []
        self._inbox: deque[tuple[Keeper, News]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._started = time.monotonic()
        # The kernel has announced something about these links, to be looked at at this time.
        self._notice_at = 0.0
        self._heard: set[int] = set()

    def run(self) -> None:
        """Keep them until it is told to stop."""
        netfilter.keep()
        self._listener.setblocking(False)
        poll = select.poll()
        with Netlink() as nl, Monitor(*_GROUPS) as monitor:
            for fd in (self._listener.fileno(), self._wake, *self._stops, monitor.fileno()):
                poll.register(fd, select.POLLIN)
            wait = 0.0
            while True:
                ready = {fd for fd, _ in poll.poll(1000 * wait)}
                if not ready.isdisjoint(self._stops):
                    break
                if self._listener.fileno() in ready:
                    self._answer()
                if self._wake in ready:
                    os.eventfd_read(self._wake)
                if monitor.fileno() in ready:
                    self._take(monitor.take())
                wait = self._turn(nl)
        for keeper in self._keepers:
            keeper.close()

    def _take(self, heard: Heard) -> None:
        if not heard:
            return
        if not self._notice_at:
            self._notice_at = time.monotonic() + _QUIET_SECONDS
        # Both kinds of message (ifinfomsg, ifaddrmsg) have the link's index at the same place.
        self._heard.update(_INDEX.unpack_from(payload)[0] for _kind, payload in heard.messages)

    def _turn(self, nl: Netlink) -> float:
        """Do what is due; gives the seconds until something will be."""
        now = time.monotonic()
        self._configure()
        while self._inbox:
            keeper, news = self._inbox.popleft()
            if keeper in self._keepers:
                keeper.hear(news)
        is_time = 0 < self._notice_at <= now
        if is_time:
            self._notice_at = 0.0
        for keeper in self._keepers:
            if is_time:
                keeper.notice(nl, self._heard)
            keeper.settle(nl)
        if is_time:
            self._heard.clear()
        due = [keeper.due for keeper in self._keepers]
        due += [self._notice_at] if self._notice_at else []
        until = min(due, default=now + CONFIG_SECONDS) - time.monotonic()
        return max(0.0, min(until, CONFIG_SECONDS))

    def _configure(self) -> None:
        """Take over another set of overlays; those that are the same go on undisturbed."""
        wanted = self._load()
        if wanted is None:
            return
        for keeper in self._keepers:
            if keeper.overlay not in wanted:
                keeper.close()
                self._log("no longer watched", network=keeper.overlay.network)
        kept = [keeper for keeper in self._keepers if keeper.overlay in wanted]
        there = [keeper.overlay for keeper in kept]
        kept += [
            Keeper(overlay, self._post, self._log) for overlay in wanted if overlay not in there
        ]
        self._keepers = kept

    def _post(self, keeper: Keeper, news: News) -> None:
        """Called in the threads of keepers."""
        self._inbox.append((keeper, news))
        os.eventfd_write(self._wake, 1)

    def _answer(self) -> None:
        """Say how things are to one who asks; whoever does not read at once gets what fits."""
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it went away, or no descriptor is left
            return
        document = jsontext.dumps(self.report()).encode() + b"\n"
        with connection:
            try:
                connection.setblocking(False)
                connection.setsockopt(SOL_SOCKET, SO_SNDBUF, 2 * len(document))
                connection.send(document)
            except OSError:
                pass

    def report(self) -> dict[str, JsonValue]:
        """What `watchstate` describes."""
        return {
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._started, 1),
            "memory": process.memory(),
            "networks": {keeper.overlay.network: keeper.report() for keeper in self._keepers},
        }
