"""A plugin that tells where it runs, and does to its process what no plugin should.

The config's key `do` names what its ADD does; DEL and CHECK succeed. See `gate` for what it waits
for.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from cni.call import Call
from cni.result import DNS, Result
from cni.skel import Plugin
from hostnet.netns import NetNS
from hostnet.signals import hold


def tell(call: Call) -> Result:
    """Say, as the result's search list, where and what this process is."""
    mask = os.umask(0)
    os.umask(mask)
    seen = {
        "cwd": os.getcwd(),
        "umask": mask,
        "files": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in ("0", "1", "2")},
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        "netns": os.readlink("/proc/thread-self/ns/net"),
        "pid": os.getpid(),
        "modules": sorted(sys.modules),
        "environ": dict(call.environ),
    }
    return Result(dns=DNS(search=(json.dumps(seen),)))


def wreck(call: Call) -> Result:
    """Leave everything of the process changed."""
    os.chdir("/proc")
    os.umask(0o777)
    os.close(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    hold()
    return Result()


def stray(call: Call) -> Result:
    """Move to the container's namespace and stay there."""
    with NetNS.open(call.netns) as ns:
        ns.entered().__enter__()
    return Result()


def say(call: Call) -> Result:
    """Write to stderr and fail in a way that no plugin should."""
    raise KeyError(call.container_id)


def die(call: Call) -> Result:
    """Be killed in the middle."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def attach(call: Call) -> Result:
    """Attach, be in the middle of it for as long as the gate is shut; undone by any exception."""
    directory = call.config.string("gate")
    state = f"{directory}/attached-{call.container_id}"
    open(state, "x").close()
    try:
        with open(f"{directory}/arrived", "w") as arrived:
            arrived.write(f"{call.container_id}\n")
        open(f"{directory}/gate").close()
    except BaseException:
        os.unlink(state)
        raise
    return Result()


def add(call: Call) -> Result:
    return ADDS[call.config.string("do", "tell")](call)


def delete(call: Call) -> None:
    if call.config.has("gate"):
        try:
            os.unlink(f"{call.config.string('gate')}/attached-{call.container_id}")
        except FileNotFoundError:
            pass


def check(call: Call) -> None:
    """Nothing is wrong."""


ADDS = {
    "tell": tell,
    "wreck": wreck,
    "stray": stray,
    "say": say,
    "die": die,
    "attach": attach,
}

PLUGIN = Plugin("probe", "CNI probe plugin, for tests", add, delete, check)
