"""A machine of a test's own for container runtimes: the network of a throwaway host, and processes,
mounts and cgroups that vanish with it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.clients.init import PRIVATE
from tests.kit import leaks
from tests.kit.host import Host
from tests.kit.namespace import Namespace

ROOT = Path(__file__).resolve().parents[2]
CGROUPS = Path("/sys/fs/cgroup")
SECONDS = 30
"""Bound of each wait: all need less than one, but more than one test may run."""
END_SECONDS = 5
"""Bound for what ends by itself when a test is over."""
SERVE = "httpd -h /www && echo up >{}; exec sleep 1000"
"""A container's command: httpd returns when it listens; then `up` is written."""
KEPT = ("*/lock", "*/last_reserved_ip.*", "*.sock.lock", "*/")
"""Files that stay by design; the last are the runtimes' directories."""
_numbers = itertools.count()


class Joined(Namespace):
    """A network namespace somebody else made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def close(self) -> None:
        """Leave it to its maker."""


class Machine:
    """Runs a runtime's commands, as root of a machine whose network is that of `network`.

    `/opt/cni/bin` is `plugins`, the directories of `PRIVATE` are its own. cgroup: the name of the
    one to put containers in. network: that of `host` if not given. warm: a cnid serves it.
    """

    def __init__(
        self,
        host: Host,
        directory: Path,
        plugins: Path,
        *,
        network: Namespace | None = None,
        warm: bool = False,
    ) -> None:
        self.host = host
        self.network = network or host
        self.directory = directory
        self.cgroup = f"pycni-test-{os.getpid()}-{next(_numbers)}"
        self._claim_cgroups()
        for one in PRIVATE:
            one.mkdir(parents=True, exist_ok=True)  # to mount on; kept, as in tests/conftest.py
        isolated = ("--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc")
        self._init = subprocess.Popen(
            ["unshare", *isolated, "--kill-child", "--",
             sys.executable, "-m", "tests.clients.init", plugins],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        self._pid = children.read_text().strip()
        self._daemons: list[subprocess.Popen[str]] = []
        self.cnid: subprocess.Popen[str] | None = None
        if warm:
            self.switch_cnid()

    def path(self, path: str) -> Path:
        """The machine's file of this name, as seen from here."""
        return Path(f"/proc/{self._pid}/root{path}")

    def namespaces(self) -> dict[str, Namespace]:
        """The containers' network namespaces by name, where every runtime puts them."""
        return {one.name: Joined(one) for one in self.path("/run/netns").iterdir()}

    def start(self, *argv: str, **how: Any) -> subprocess.Popen[str]:
        """Start a command; it ends with the machine if not before."""
        enter = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--"]
        environ = {"PATH": os.environ["PATH"], "HOME": "/run", "TMPDIR": "/run"}
        environ.update(how.pop("environ", {}))
        how.setdefault("stdin", subprocess.DEVNULL)
        return self.network.popen(*enter, *argv, env=environ, cwd="/", **how)

    def serve(self, *argv: str) -> subprocess.Popen[str]:
        """Start a daemon, which says by sd_notify(3) when it is ready; its log is in /run."""
        name = f"pycni-{next(_numbers)}"
        with self.network.run(socket.socket, socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.bind(f"\0{name}")  # in the network namespace, which is the daemon's as well
            notices.settimeout(SECONDS)
            log = self.path(f"/run/{Path(argv[0]).name}.log")
            with log.open("w") as file:
                environ = {"NOTIFY_SOCKET": f"@{name}"}
                process = self.start(*argv, stdout=file, stderr=file, environ=environ)
            self._daemons.append(process)
            try:
                while b"READY=1" not in notices.recv(4096):
                    pass
            except TimeoutError:
                raise AssertionError(log.read_text()) from None
        return process

    def switch_cnid(self) -> None:
        """Start the machine's cnid if there is none, else end it."""
        if self.cnid is None:
            self.cnid = self.serve("/opt/cni/bin/cnid")
        else:
            self.end(self.cnid)
            self.cnid = None

    def attempt(self, *argv: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever it is."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.start(*argv, **pipes, **how) as process:
            try:
                stdout, stderr = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)

    def run(self, *argv: str, **how: Any) -> str:
        """Run a command; its output. AssertionError with what it said if it fails."""
        done = self.attempt(*argv, **how)
        assert done.returncode == 0, f"{argv} gave {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def end(self, process: subprocess.Popen[str]) -> None:
        """End a daemon; AssertionError if that is not in peace."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        os.kill(int(children), signal.SIGTERM)  # nsenter's child, whose status it hands on
        status = process.wait(SECONDS)
        assert status == 0, f"{process.args!r} gave {status}"

    def left(self) -> list[str]:
        """What nobody needs any more but what stays by design: calls that a cnid turned away,
        containers' namespaces, the suite's files, processes.
        """
        found: list[str] = []
        if self.cnid is not None:
            said = json.loads(self.run("/opt/cni/bin/cnid", "status", "--json"))
            if said["refused"] or said["lost"] or not said["calls"]:
                found.append(f"cnid: {said}")
            self.end(self.cnid)
        files = leaks.of_directories(map(self.path, ("/run/cni", "/var/lib/cni")))
        found += sorted(one for one in files if not any(fnmatchcase(one, name) for name in KEPT))
        found += [f"namespace {name}" for name in self.namespaces()]
        return found + self._processes()

    def _processes(self) -> list[str]:
        """Those that do not end by themselves, as what waits for a container's end does."""
        found: list[str] = []
        ours = os.readlink(f"/proc/{self._pid}/ns/pid")
        deadline = time.monotonic() + END_SECONDS
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if process.name == self._pid or os.readlink(process / "ns" / "pid") != ours:
                    continue
                name = (process / "comm").read_text().strip()
                fd = os.pidfd_open(int(process.name))
            except OSError:  # it has just ended
                continue
            if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
                found.append(f"process {name}")
            os.close(fd)
        return found

    def close(self) -> None:
        """End it with everything in it."""
        self._init.communicate(timeout=SECONDS)
        for process in self._daemons:
            process.wait(SECONDS)
        for hierarchy in self._hierarchies():
            made = hierarchy / self.cgroup
            for path, _folders, _files in os.walk(made, topdown=False):
                Path(path).rmdir()

    def _claim_cgroups(self) -> None:
        """Make the cgroup, so that what makes it impossible is known before a runtime fails."""
        try:
            for one in self._hierarchies():
                (one / self.cgroup).mkdir(exist_ok=True)
        except OSError as error:
            pytest.skip(f"no container can run here, cgroups cannot be made: {error}")

    @staticmethod
    def _hierarchies() -> list[Path]:
        if (CGROUPS / "cgroup.controllers").exists():
            return [CGROUPS]
        return [one for one in CGROUPS.iterdir() if one.is_dir() and not one.is_symlink()]


class Filesystem:
    """A container's root directory with a web server in it that says `name`."""

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / name
        busybox = shutil.which("busybox")
        assert busybox, "no busybox here: packaging/prepare test installs busybox-static"
        for one in ("bin", "www", "etc", "proc", "sys", "dev", "run", "tmp"):
            (self.path / one).mkdir(parents=True)
        shutil.copy(busybox, self.path / "bin" / "busybox")
        for applet in ("sh", "httpd", "sleep"):
            (self.path / "bin" / applet).symlink_to("busybox")
        (self.path / "www" / "index.html").write_text(name)


class Signal:
    """A FIFO in a container's file system, by which the container says that it is ready."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """In the body the container is started; returns when it is ready. Raises TimeoutError."""
        reader = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            yield
            if not select.select([reader], [], [], SECONDS)[0]:
                raise TimeoutError(f"nothing from the container in {SECONDS} s")
        finally:
            os.close(reader)


def fetch(ns: Namespace, address: str, port: int, seconds: float = SECONDS) -> str:
    """What a web server answers to a client in `ns`. Raises OSError."""

    def ask() -> str:
        client = http.client.HTTPConnection(address, port, timeout=seconds)
        try:
            client.request("GET", "/")
            return client.getresponse().read().decode()
        finally:
            client.close()

    return ns.run(ask)


def is_silent(ns: Namespace, address: str, port: int) -> bool:
    """Whether no web server answers a client in `ns`. podman's conmon keeps a published port
    reserved by listening on it, and says nothing.
    """
    try:
        fetch(ns, address, port, seconds=0.3)
    except OSError:
        return True
    return False
