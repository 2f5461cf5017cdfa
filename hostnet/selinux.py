"""SELinux: whether the host has it, and a program started in a context of its own.

What a program makes in the kernel has its context, so that who is to make something with another
context starts a program for it. See selinux(8), and proc(5) for /proc/PID/attr/exec.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_ENFORCE = "/sys/fs/selinux/enforce"
_NEXT = "/proc/thread-self/attr/exec"


def enabled() -> bool:
    """Whether the kernel has SELinux switched on."""
    return os.path.exists(_ENFORCE)


class Starting:
    """`with Starting(context):` programs that the thread starts in the body are in this context.

    Raises OSError: EINVAL where the host's policy does not know the context.
    """

    __slots__ = ("_context",)

    def __init__(self, context: str) -> None:
        self._context = context

    def __enter__(self) -> None:
        _set(self._context)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _set("")


def _set(context: str) -> None:
    fd = os.open(_NEXT, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, context.encode() + b"\0")
    finally:
        os.close(fd)
