"""Stops processes at their system calls: to kill them there, to let the call fail, or to hold them.

A seccomp filter with a listener (seccomp_unotify(2)) is put on a child before it does anything, and
whatever it starts inherits it. So the system calls of all its threads and children come to the
supervisor, in one order that is the same from run to run, and none goes on before it is let go.
Only calls that change something, or bring the kernel's answer to that, are listened to
(`filter.CALLS`); all others run at full speed.

    with Supervisor() as supervisor:
        points = supervisor.run(target).points
        for number in range(1, len(points) + 1):
            outcome = supervisor.run(target, at=number, strike=KILL_TREE)

`target` is a command, or a function that runs in a forked child and gives its exit status. With
HOLD, one process is stopped in the middle while others work:

    with supervisor.start(target, at=number, strike=HOLD) as held:
        if held.reached():
            ...                      # the issuer of call `number` waits
        outcome = held.release()     # it goes on, to its end

The tree is in a cgroup of its own, whose `cgroup.kill` ends all of it at once. Should the
supervisor itself die, a guard does that: a process whose listener is gone would go on otherwise.
"""

from __future__ import annotations

from tests.kit.syscalls.run import (
    GO,
    HOLD,
    KILL_ISSUER,
    KILL_TREE,
    Fail,
    Outcome,
    Point,
    Run,
    Send,
    Strike,
    Supervisor,
    Target,
)

__all__ = [
    "GO",
    "HOLD",
    "KILL_ISSUER",
    "KILL_TREE",
    "Fail",
    "Outcome",
    "Point",
    "Run",
    "Send",
    "Strike",
    "Supervisor",
    "Target",
]
