"""The process that heals: it waits until somebody damages the packet filter, and then looks.

Each look is a child's, which ends with it: what a look at a thousand containers needs of memory,
nobody needs in between.

What it heals, `libcni.heal` says. When it looks:

- soon after the kernel has told that somebody else changed tables of ours (`hostnet.nfwatch`),
- when firewalld has been loaded anew or started, as D-Bus tells,
- at its start, and every minute, for what nobody announces: iptables-legacy, sysctls.

Somebody who damages the rules all the time costs no more than a fifth of a processor: looks take
from an account, which fills up slowly. It holds no state, and may be killed at any time.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import time

from cni.journal import log
from cni_firewall import firewalld
from hostnet.monitor import RTNLGRP_LINK, Monitor
from hostnet.nfwatch import IPTABLES, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypedDict

    from cni_firewall.bus import Bus
    from libcni.heal import Healer

    class Found(TypedDict):
        """What a look has found. healed: how many attachments; acts: what was done. cost: seconds
        of the processor."""

        running: int
        healed: int
        acts: list[str]
        problems: list[str]
        seconds: float
        cost: float


LOOK_SECONDS = 60.0
"""How often it looks by itself."""
_QUIET_SECONDS = 0.02
"""How long it lets announcements gather: they come in crowds when containers do."""
_TEARDOWN_SECONDS = 3.0
"""How long iptables must have been left alone before it looks for what single containers have lost
there. Another suite that deletes a container of ours takes its rules first and its link last, sets
no sign that a DEL has begun, and fails where a rule comes back meanwhile."""
_RESTLESS_SECONDS = 10.0
"""After which it looks though iptables' rules go on changing."""
_TEARDOWN_MOST_SECONDS = 10.0
"""How long it looks whether those that it has healed go, of which the same is true."""
_NEVER = float("inf")
_SHARE = 0.2
"""Of its time it may look, over long."""
_MOST_CREDIT_SECONDS = 20.0
"""And so long at once; both of processor time."""
_AGAIN_SECONDS = 2.0
"""After a look with problems, and twice as long after each further one."""
_TOLD = 10
_NAME = "cnid-heal"
OWN = ("cnid", _NAME, "cnitool", "pycni")
"""The names of our processes, cold plugins' included."""


class HealProcess:
    """Heals until `stop` is readable. make: what looks, made for each look. tell: is given what
    each has found."""

    def __init__(
        self, make: Callable[[], Healer], stop: int, tell: Callable[[Found], None]
    ) -> None:
        self._make = make
        self._stop = stop
        self._tell = tell
        self._watch = self._watch_rules()
        self._bus: Bus | None = None
        self._due = 0.0
        self._calm = _NEVER
        self._restless = 0.0
        self._credit = _MOST_CREDIT_SECONDS
        self._counted = time.monotonic()
        self._why = "started"
        self._again = _AGAIN_SECONDS
        self._problems: list[str] = []
        self._children: list[int] = []

    @staticmethod
    def _watch_rules() -> Watch | None:
        with open("/proc/self/comm", encoding="utf-8") as file:
            inherited = file.read().strip()
        with open("/proc/self/comm", "w", encoding="utf-8") as file:
            file.write(_NAME)
        try:
            return Watch("pycni_", "CNI-", (*OWN, inherited))
        except OSError as error:  # a kernel without it
            log("cannot hear of changes of nftables", error=str(error))
        return None

    def run(self) -> None:
        """Until it is told to stop."""
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        if self._watch is not None:
            poll.register(self._watch.fileno(), select.POLLIN)
        while True:
            self._listen(poll)
            wait = max(0.0, min(self._due, self._calm) - time.monotonic())
            ready = {fd for fd, _ in poll.poll(1000 * wait)}
            if self._stop in ready or self._ends_at_rules(ready):
                break
            if self._bus is not None and self._bus.fileno() in ready:
                self._hear(poll, self._bus)
            if time.monotonic() >= self._calm:
                self._calm = _NEVER
                self._hasten(f"rules were changed by {IPTABLES}")
            if time.monotonic() >= self._due:
                self._look()
        for pid in self._children:  # they see it too
            os.waitpid(pid, 0)

    def _reap(self) -> None:
        """Of the children that looked, those that have ended."""
        ended = {pid for pid in self._children if os.waitpid(pid, os.WNOHANG)[0]}
        self._children = [pid for pid in self._children if pid not in ended]

    def _ends_at_rules(self, ready: set[int]) -> bool:
        """Hear who has changed rules; whether it is to stop meanwhile."""
        if self._watch is None or self._watch.fileno() not in ready:
            return False
        if select.select([self._stop], [], [], _QUIET_SECONDS)[0]:
            return True
        by = self._watch.take()
        if by == IPTABLES:
            self._postpone()
        elif by:
            self._hasten(f"rules were changed by {by}")
        return False

    def _postpone(self) -> None:
        """Look when nobody has touched iptables for a while."""
        now = time.monotonic()
        if self._calm == _NEVER:
            self._restless = now
        self._calm = min(now + _TEARDOWN_SECONDS, self._restless + _RESTLESS_SECONDS)

    def _hasten(self, why: str) -> None:
        """Look as soon as its account allows."""
        now = time.monotonic()
        self._why = why
        self._credit = min(_MOST_CREDIT_SECONDS, self._credit + _SHARE * (now - self._counted))
        self._counted = now
        self._due = min(self._due, now + max(0.0, -self._credit / _SHARE))

    def _look(self) -> None:
        self._reap()
        found, pid = _look_in_child(self._make, self._stop)
        self._children.append(pid)
        now = time.monotonic()
        self._credit -= found["cost"]
        self._due = now + LOOK_SECONDS
        if found["problems"]:
            self._due = now + self._again
            self._again = min(2 * self._again, LOOK_SECONDS)
        else:
            self._again = _AGAIN_SECONDS
        if found["healed"]:
            log(
                "healed",
                why=self._why,
                attachments=found["healed"],
                running=found["running"],
                seconds=found["seconds"],
                acts=[*found["acts"]],
            )
        if found["problems"] != self._problems:
            self._problems = found["problems"]
            for problem in self._problems[:_TOLD]:
                log("not healed", error=problem)
        self._why = "looked"
        self._tell(found)

    # ---- firewalld

    def _listen(self, poll: select.poll) -> None:
        """Connect to the bus, if there is one by now."""
        if self._bus is not None or time.monotonic() < self._due:
            return
        try:
            self._bus = firewalld.listen(os.environ)
        except OSError as error:
            log("cannot hear of firewalld", error=str(error))
        if self._bus is not None:
            poll.register(self._bus.fileno(), select.POLLIN)

    def _hear(self, poll: select.poll, bus: Bus) -> None:
        try:
            if bus.take():
                self._hasten("firewalld was loaded anew")
        except OSError:  # the bus has gone
            poll.unregister(bus.fileno())
            bus.close()
            self._bus = None


def _look_in_child(make: Callable[[], Healer], stop: int) -> tuple[Found, int]:
    """Look, in a process of its own; what it has found, and the process, which may go on a while:
    see `_withdraw`.
    """
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(ours)
            _child(make, theirs, stop)
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as told:
        text = told.read()
    if text:
        found: Found = json.loads(text)
        return found, pid
    problem = f"process {pid}, which looked, ended without an answer"
    return {
        "running": 0, "healed": 0, "acts": [], "problems": [problem], "seconds": 0.0, "cost": 0.0,
    }, pid  # fmt: skip


def _child(make: Callable[[], Healer], answer: int, stop: int) -> None:
    healer = make()
    gc.disable()  # what a look makes, it needs
    report = healer.look()
    gc.enable()
    used = resource.getrusage(resource.RUSAGE_SELF)
    found: Found = {
        "running": report.running,
        "healed": len(report.healed),
        "acts": sorted({act for one in report.healed for act in one.acts}),
        "problems": [*report.problems],
        "seconds": report.seconds,
        "cost": used.ru_utime + used.ru_stime,
    }
    with Monitor(RTNLGRP_LINK) as links:
        with open(answer, "wb") as told:
            told.write(json.dumps(found).encode())
        if report.healed:
            _withdraw(healer, links, stop)


def _withdraw(healer: Healer, links: Monitor, stop: int) -> None:
    """Wait for containers that were healed to go, as those do that another suite was deleting."""
    end = time.monotonic() + _TEARDOWN_MOST_SECONDS
    while (left := end - time.monotonic()) > 0:
        count, problems = healer.withdraw()
        for problem in problems[:_TOLD]:
            log("not withdrawn", error=problem)
        if not count or stop in select.select([links.fileno(), stop], [], [], left)[0]:
            return
        links.take()
