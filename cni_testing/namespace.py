"""Throwaway network namespaces, each bound to a path as a container runtime does it."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hostnet.netns import NetNS

T = TypeVar("T")

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
COMMAND_SECONDS = 20

_libc = ctypes.CDLL(None, use_errno=True)


def libc(function: str, *args: bytes | int | None) -> None:
    """Call a C function that gives 0, or raise OSError."""
    if getattr(_libc, function)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}{args}: {os.strerror(code)}")


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError."""
    libc("mount", source.encode(), bytes(target), kind.encode(), flags, options.encode())


def in_thread(function: Callable[[], T]) -> T:
    """Run it in a thread of its own, which may change namespace without anybody noticing."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001 (raised again by the caller)
            failure.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


class Namespace:
    """A network namespace bound at `path`, `lo` up; gone when closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch(exist_ok=False)

        def make() -> None:
            libc("unshare", CLONE_NEWNET)
            mount("/proc/thread-self/ns/net", path, "none", MS_BIND)
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

        in_thread(make)

    def __str__(self) -> str:
        """The path, as CNI_NETNS wants it."""
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def close(self) -> None:
        """Unbind it (the kernel removes it when nothing uses it) and remove the path."""
        if self.path.exists():
            libc("umount2", bytes(self.path), MNT_DETACH)
            self.path.unlink()

    def open(self) -> NetNS:
        return NetNS.open(str(self.path))

    def enter(self) -> None:
        """Move the calling thread into it."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc("setns", fd, CLONE_NEWNET)
        finally:
            os.close(fd)

    def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function inside it, in a thread of its own."""

        def inside() -> T:
            self.enter()
            return function(*args, **kwargs)

        return in_thread(inside)

    def popen(self, *argv: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start a command inside it. The caller ends it."""
        popen: Callable[..., subprocess.Popen[str]] = subprocess.Popen
        return self.run(popen, argv, text=True, **kwargs)

    def command(
        self, *argv: str, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside it to its end; AssertionError with its stderr if it fails."""

        def inside() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                argv,
                check=False,
                input=stdin,
                text=True,
                capture_output=True,
                timeout=COMMAND_SECONDS,
            )

        done = self.run(inside)
        if check:
            assert done.returncode == 0, f"{argv} gave {done.returncode}: {done.stderr}"
        return done

    def ip(self, *args: str) -> Any:
        """`ip -json ARGS` inside it, parsed; None when it prints nothing."""
        output = self.command("ip", "-json", *args).stdout
        return json.loads(output) if output.strip() else None

    def links(self) -> dict[str, Any]:
        """`ip -d link show` inside it, by name."""
        return {one["ifname"]: one for one in self.ip("-details", "link", "show") if one}

    def wait_ready(self, dev: str, seconds: float = 5) -> None:
        """Wait until a link carries traffic for its addresses, which a new one does not at once.

        The kernel acts on a carrier and on IPv6 addresses (`nodad` too) in a work queue. Wanted
        on both ends of a veth pair before the first packet.
        """
        deadline = time.monotonic() + seconds
        while not self._is_ready(dev):
            assert time.monotonic() < deadline, f"{dev} is not ready: {self.links()[dev]}"

    def _is_ready(self, dev: str) -> bool:
        if self.ip("link", "show", "dev", dev)[0]["operstate"] != "UP":
            return False
        addresses = self.ip("-6", "address", "show", "dev", dev)
        routes = self.ip("-6", "route", "show", "table", "local", "dev", dev) or []
        wanted = {
            one["local"]
            for link in addresses
            for one in link.get("addr_info", [])
            if not one.get("tentative")
        }
        return wanted <= {one["dst"] for one in routes}

    def addresses(self, dev: str) -> list[str]:
        """The addresses of a link with prefix length, link-local ones left out."""
        found = self.ip("address", "show", "dev", dev)
        return [
            f"{one['local']}/{one['prefixlen']}"
            for link in found
            for one in link.get("addr_info", [])
            if one["scope"] != "link"
        ]
