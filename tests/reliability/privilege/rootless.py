"""A host as rootless runtimes have one: user, mount and network namespaces of an ordinary user's.

As RootlessKit makes it for nerdctl, and podman for itself: the user is root inside, with a range of
further users, and may write below /run and /var/lib/cni, which are empty.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tests.kit.calls import Document
from tests.kit.namespace import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    MS_BIND,
    MS_PRIVATE,
    MS_REC,
    Namespace,
    libc,
    mount,
)

USER = 54321
"""Nobody's number."""
_CLONE_NEWUSER = 0x10000000
_SECONDS = 60
BIN = Path("/run/bin")
"""Where the executables are inside."""


class Inside(Namespace):
    """A network namespace that somebody else has made."""

    def __init__(self, path: Path) -> None:
        self.path = path


class Answer(NamedTuple):
    """What a plugin said."""

    status: int
    document: Any
    stderr: str

    @property
    def msg(self) -> str:
        """Of the error."""
        assert self.status, "it succeeded"
        msg: str = self.document["msg"]
        return msg


class Rootless:
    """The namespaces, held by a process that does nothing: `with Rootless({BIN: built}) as made:`

    shown: what is to be found inside, by its path there, which is in /run.
    """

    def __init__(self, shown: Mapping[Path, Path]) -> None:
        made, tell_made = os.pipe()
        mapped, tell_mapped = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(tell_mapped)
                _become(shown)
                os.write(tell_made, b"x")
                os.read(mapped, 1)
                _settle()
                os.write(tell_made, b"x")
                signal.pause()
            finally:
                os._exit(1)
        os.close(tell_made)
        os.close(mapped)
        try:
            assert os.read(made, 1), "the namespaces could not be made"
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{self._pid}/{name}").write_text(f"0 {USER} 1\n1 {USER + 1} 65534\n")
            os.write(tell_mapped, b"x")
            assert os.read(made, 1), "the namespaces could not be made ready"
        except BaseException:
            self.close()
            raise
        finally:
            os.close(made)
            os.close(tell_mapped)
        self.host = Inside(Path(f"/proc/{self._pid}/ns/net"))

    def close(self) -> None:
        """The kernel removes everything with the process."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def __enter__(self) -> Rootless:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def command(self, *argv: str) -> list[str]:
        """The command that runs another one inside."""
        target = ("--target", str(self._pid))
        return ["nsenter", *target, "--user", "--mount", "--net", "--", *argv]

    def run(self, *argv: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, to its end."""
        return subprocess.run(
            self.command(*argv),
            input=stdin,
            env={"PATH": os.environ["PATH"], **environ},
            text=True,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )

    def done(self, *argv: str, stdin: str = "", **environ: str) -> str:
        """The same for one that must succeed; its output."""
        ended = self.run(*argv, stdin=stdin, **environ)
        assert ended.returncode == 0, f"{argv}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def container(self, name: str) -> Inside:
        """A container's namespace, at /run/netns/NAME inside; as it is seen from outside."""
        self.done("ip", "netns", "add", name)
        return Inside(Path(f"/proc/{self._pid}/root/run/netns/{name}"))

    def call(self, verb: str, config: Document, netns: str, **environ: str) -> Answer:
        """Call a plugin's executable; cold unless CNID_SOCKET says where a daemon is."""
        given = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": netns,
            "CNI_PATH": str(BIN),
            "CNID_SOCKET": "",
            **environ,
        }
        ended = self.run(f"{BIN}/{config['type']}", stdin=json.dumps(config), **given)
        return Answer(
            ended.returncode, json.loads(ended.stdout) if ended.stdout else None, ended.stderr
        )

    def links(self) -> set[str]:
        """The host's interfaces."""
        return set(self.host.links())


def _become(shown: Mapping[Path, Path]) -> None:
    """Be an ordinary user in a new user namespace, with directories of its own."""
    libc("unshare", CLONE_NEWNS)
    mount("none", Path("/"), "none", MS_REC | MS_PRIVATE)
    there = {inside: os.open(outside, os.O_PATH) for inside, outside in shown.items()}
    for directory in ("/run", "/var/lib/cni"):
        mount("none", Path(directory), "tmpfs", 0, f"mode=0700,uid={USER},gid={USER}")
    for target, fd in there.items():
        (target.mkdir if shown[target].is_dir() else target.touch)()
        mount(f"/proc/self/fd/{fd}", target, "none", MS_BIND)
        os.close(fd)
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    libc("unshare", _CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET)


def _settle() -> None:
    """As root of the user namespace: what shows the new network namespace."""
    mount("none", Path("/sys"), "sysfs")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def nested(host: Rootless, argv: Sequence[str] = ("cat",)) -> subprocess.Popen[str]:
    """A process in user and network namespaces below the rootless host's; ends with its stdin."""
    command = host.command("unshare", "--user", "--map-root-user", "--net", "--", *argv)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
