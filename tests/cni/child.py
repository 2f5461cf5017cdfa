"""A plugin as a process of its own, for tests: what its ADD does is the key `do` of the config.

Started with the source tree as argument. It talks to the test through the FIFOs `to-test` and
`to-child` in the folder of the config's key `dir`, one line a step, and what it has attached is the
file `state` there.
"""

from __future__ import annotations

import os
import signal
import sys

sys.path.insert(0, sys.argv[1])

from cni import ipam
from cni.bundle import Bundle
from cni.call import Call
from cni.result import DNS, Interface, Result
from cni.skel import Plugin, main


def say(call: Call, word: str) -> None:
    with open(f"{call.config.string('dir')}/to-test", "w") as pipe:
        pipe.write(word)


def wait(call: Call) -> None:
    """Until the test says something."""
    with open(f"{call.config.string('dir')}/to-child") as pipe:
        pipe.read()


def state(call: Call) -> str:
    return f"{call.config.string('dir')}/state"


def waiting(call: Call) -> Result:
    """Attach, and wait for what never comes, with an undo that waits too."""
    open(state(call), "x").close()
    try:
        say(call, "attached")
        wait(call)
    except BaseException:
        say(call, "undoing")
        wait(call)
        os.unlink(state(call))
        raise
    return Result()


class Trap(Result):
    """A result during whose writing the signal comes, when the plugin's undo stack is gone."""

    @property
    def ips(self) -> tuple[()]:
        os.kill(os.getpid(), signal.SIGTERM)
        return ()


def trapped(call: Call) -> Result:
    open(state(call), "x").close()
    return Trap.__new__(Trap)


def attached(call: Call) -> Result:
    open(state(call), "x").close()
    return Result((Interface("eth0"),))


def large(call: Call) -> Result:
    """More than a pipe holds."""
    open(state(call), "x").close()
    return Result(dns=DNS(search=("x" * 300_000,)))


def imports(call: Call) -> Result:
    """Be ended in the middle of an import of what the handler might want."""

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "enum":
                os.kill(os.getpid(), signal.SIGTERM)

    for name in ("enum", "re", "signal"):
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Finder)
    import enum

    raise AssertionError(enum)


def delegates(call: Call) -> Result:
    return ipam.add(call, "delegate")


ADDS = {
    "wait": waiting,
    "trap": trapped,
    "attach": attached,
    "large": large,
    "import": imports,
    "delegate": delegates,
}


def add(call: Call) -> Result:
    return ADDS[call.config.required_string("do")](call)


def delete(call: Call) -> None:
    try:
        os.unlink(state(call))
    except FileNotFoundError:
        pass


PLUGIN = Plugin("child", "CNI child plugin", add, delete, delete)

if __name__ == "__main__":
    status = main("child", Bundle({"child": lambda: PLUGIN}, sys.argv[0]))
    if "LATE_SIGNAL" in os.environ:
        os.kill(os.getpid(), signal.SIGTERM)
    sys.exit(status)
