"""What the tests of the daemon work with: executables, a daemon, calls, and a gate to stop them at.

Everything is a real process: the launcher is compiled, the daemon is started from source as a
process of its own, and what is cold runs in a process too.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import nftables

from cni.versions import CURRENT, SPEC_VERSIONS
from cnid.status import ask

if TYPE_CHECKING:
    from cnid.tally import Status

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SECONDS = 20
"""A bound for whatever is waited for."""
PLUGINS = ("bridge", "host-local", "loopback", "portmap", "probe", "vxlan")
VERSION = json.dumps(
    {"cniVersion": CURRENT, "supportedVersions": list(SPEC_VERSIONS)}, separators=(",", ":")
)
IMPORT_PATH = ":".join(
    map(
        str,
        (
            ROOT,
            ROOT / "packaging",
            *(path for path in sorted((ROOT / "plugins").iterdir()) if path.is_dir()),
            Path(nftables.__file__).parent,
        ),
    )
)
PYTHON = sys.executable
CNID = [PYTHON, "-I", "-S", str(HERE / "serve.py"), IMPORT_PATH]
"""The daemon's command."""

# The name a script was called by is lost on the way through its interpreter, so this keeps it.
_STAND_IN = """\
#include <unistd.h>
int main(int count, char **arguments)
{
    char *call[] = {PYTHON, "-I", "-S", SCRIPT, PATHS, arguments[0], NULL};
    (void)count;
    execv(PYTHON, call);
    return 127;
}
"""


def _compile(source: str, target: Path, **defines: str | int) -> Path:
    """With the compiler that a release is made with; warnings are errors."""
    macros = [f"-D{name}={_literal(value)}" for name, value in defines.items()]
    options = ["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-std=gnu11"]
    compiler = "musl-gcc" if shutil.which("musl-gcc") else "cc"
    command = [compiler, *options, *macros, "-x", "c", "-o", str(target), "-"]
    subprocess.run(command, input=source, text=True, check=True)
    return target


def _literal(value: str | int) -> str:
    return json.dumps(value)  # which is C's literal too, for what is here


def compile_launcher(target: Path, **defines: str | int) -> Path:
    """cnid/launcher.c; BUILD, VERSION_ANSWER and whatever else is given."""
    source = (ROOT / "cnid" / "launcher.c").read_text()
    given = {"BUILD": "test", "VERSION_ANSWER": VERSION + "\n", **defines}
    return _compile(source, target, **given)


def compile_stand_in(target: Path) -> Path:
    """The cold executable's stand-in."""
    script = str(HERE / "cold.py")
    return _compile(_STAND_IN, target, PYTHON=PYTHON, SCRIPT=script, PATHS=IMPORT_PATH)


def wait_until(condition: Callable[[], bool]) -> None:
    """For what nobody tells: ask again and again."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def state(pid: int) -> str:
    """Of a process, as proc(5) has it: T for stopped, Z for dead."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def while_stopped(pid: int, *acts: Callable[[], object]) -> None:
    """Let all of it happen at once, for a process."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T")
    for act in acts:
        act()
    os.kill(pid, signal.SIGCONT)


class Answer(NamedTuple):
    """What a caller sees of a call."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def document(self) -> Any:
        """stdout, parsed; None where it is empty."""
        return json.loads(self.stdout) if self.stdout else None

    @property
    def code(self) -> int:
        """The error's code; 0 for a success."""
        assert (self.status != 0) == ("code" in (self.document or {})), self
        code: int = self.document["code"] if self.status else 0
        return code


class Running:
    """A call under way."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes) -> None:
        self.process = process
        pipe, process.stdin = process.stdin, None
        if pipe is not None:
            try:
                with pipe:
                    pipe.write(stdin)
            except BrokenPipeError:  # it has ended without reading, which is its right
                pass

    def answer(self) -> Answer:
        """Wait for the end of it."""
        stdout, stderr = self.process.communicate(timeout=SECONDS)
        return Answer(self.process.returncode, stdout, stderr)

    def kill(self) -> None:
        """End the launcher, without a word to anybody."""
        self.process.kill()
        self.process.wait(SECONDS)


class Suite:
    """A directory as /opt/cni/bin, and a runtime that calls what is in it.

    The daemon's socket is `socket`, whether a daemon is there or not.
    """

    def __init__(self, directory: Path, launcher: Path, stand_in: Path) -> None:
        self.path = directory / "bin"
        self.socket = directory / "cnid.sock"
        self._cold = self.path / "cold.log"
        library = self.path / "pycni-lib-test"
        library.mkdir(parents=True)
        os.link(stand_in, library / "pycni")
        for name in PLUGINS:
            os.link(launcher, self.path / name)

    def environ(self, command: str, netns: str = "", **more: str) -> dict[str, str]:
        """The environment of a call; GC and STATUS name no attachment."""
        found = {"CNI_COMMAND": command, "CNI_PATH": str(self.path), "PATH": os.defpath}
        if command in ("ADD", "DEL", "CHECK"):
            found |= {"CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": netns}
        return {**found, "CNID_SOCKET": str(self.socket), **more}

    def start(
        self,
        command: str,
        config: dict[str, Any] | bytes,
        netns: object = "",
        *,
        plugin: str = "",
        environ: dict[str, str] | None = None,
        wrapper: Sequence[str] = (),
        path: str = "",
        **how: Any,
    ) -> Running:
        """Start a call of the plugin that the config names.

        wrapper: a command to start it by, path: where that finds it.
        """
        name = plugin or (config["type"] if isinstance(config, dict) else "")
        stdin = config if isinstance(config, bytes) else json.dumps(config).encode()
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        env = self.environ(command, str(netns), **(environ or {}))
        argv = [*wrapper, f"{path or self.path}/{name}"]
        return Running(subprocess.Popen(argv, env=env, **{**streams, **how}), stdin)

    def call(self, command: str, config: dict[str, Any] | bytes, *args: Any, **how: Any) -> Answer:
        """The same, to its end."""
        return self.start(command, config, *args, **how).answer()

    def cold(self, *args: Any, **how: Any) -> Answer:
        """The same, with the daemon disabled."""
        environ = {**how.pop("environ", {}), "CNID_SOCKET": ""}
        return self.call(*args, environ=environ, **how)

    def cold_runs(self) -> list[str]:
        """`PLUGIN VERB` of what has run cold since this was last asked."""
        try:
            lines = self._cold.read_text().splitlines()
        except FileNotFoundError:
            return []
        self._cold.unlink()
        return lines


def cnid(
    suite: Suite, *arguments: str, wrapper: Sequence[str] = (), **how: Any
) -> subprocess.CompletedProcess[str]:
    """`cnid ARGUMENTS`, which ends soon."""
    command = [*wrapper, *CNID, f"--socket={suite.socket}", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SECONDS, **how
    )


class Daemon:
    """`cnid`, as systemd starts it: it says when it is ready, and its log is read all the time."""

    def __init__(
        self,
        suite: Suite,
        *arguments: str,
        environ: dict[str, str] | None = None,
        wrapper: Sequence[str] = (),
        **how: Any,
    ) -> None:
        self.suite = suite
        self.lines: list[dict[str, Any]] = []
        self._news = threading.Condition()
        notices = suite.socket.with_name("notify")
        notices.unlink(missing_ok=True)
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(notices))
        notices.chmod(0o777)
        self._notices.settimeout(SECONDS)
        env = {"NOTIFY_SOCKET": str(notices), "PATH": os.defpath, **(environ or {})}
        log = subprocess.PIPE if "stderr" not in how else how.pop("stderr")
        self.process = subprocess.Popen(
            [*wrapper, *CNID, f"--socket={suite.socket}", *arguments], env=env, stderr=log, **how
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            assert self.notice() == "READY=1"
            self.pids = [one["pid"] for one in self.status()["workers"]]
        except BaseException:
            self.kill()
            self._close()
            raise

    def _read(self) -> None:
        for line in self.process.stderr or ():
            with self._news:
                self.lines.append(json.loads(line))
                self._news.notify_all()

    def notice(self) -> str:
        """The next thing it tells systemd."""
        return self._notices.recv(4096).decode()

    def status(self) -> Status:
        """What `cnid status` reads."""
        return ask(str(self.suite.socket))

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], count: int = 1) -> list[Any]:
        """Wait until that many lines of the log are wanted ones; gives them."""
        with self._news:
            assert self._news.wait_for(lambda: sum(map(wanted, self.lines)) >= count, SECONDS), (
                self.lines
            )
            return [line for line in self.lines if wanted(line)]

    def calls(self, count: int) -> list[Any]:
        """The lines of calls, when that many are there."""
        return self.wait_for(lambda line: line["msg"] == "call", count)

    def processes(self) -> list[int]:
        """The daemon and its workers."""
        return [self.process.pid, *(one["pid"] for one in self.status()["workers"])]

    def kill(self) -> None:
        """SIGKILL the daemon alone."""
        self.process.kill()
        self._end()

    def stop(self) -> int:
        """SIGTERM it and wait; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._end()

    def _end(self) -> int:
        return self.process.wait(SECONDS)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ends = [os.pidfd_open(pid) for pid in self.pids if os.path.exists(f"/proc/{pid}")]
        try:
            if self.process.returncode is None and self.stop() and error is None:
                raise AssertionError(f"cnid ended with {self.process.returncode}: {self.lines}")
            outlived = [fd for fd in ends if not select.select([fd], [], [], SECONDS)[0]]
            assert not outlived, "a worker outlived its daemon"
        finally:
            for fd in ends:
                _kill(fd)
            self.kill()
            self._close()

    def _close(self) -> None:
        self._notices.close()
        self._reader.join()
        if self.process.stderr is not None:
            self.process.stderr.close()


def _kill(pidfd: int) -> None:
    """A process that a failed test has left."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.close(pidfd)


class Gate:
    """Where calls are stopped in the middle: shut, until it is opened.

    Whoever comes to it writes a line into the FIFO `arrived`, and then opens the FIFO `gate` to
    read, which the kernel lets it when somebody has it open to write.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "gate"
        self.directory.mkdir()
        for name in ("arrived", "gate"):
            os.mkfifo(self.directory / name)
        self._arrived = os.open(self.directory / "arrived", os.O_RDWR | os.O_CLOEXEC)
        self._open = -1

    def arrivals(self, count: int) -> list[str]:
        """Wait for that many; who they are."""
        text = b""
        deadline = time.monotonic() + SECONDS
        while text.count(b"\n") < count:
            left = deadline - time.monotonic()
            assert select.select([self._arrived], [], [], left)[0], f"only {text!r} came"
            text += os.read(self._arrived, 1)
        return text.decode().split()

    def open(self) -> None:
        """Let everybody pass, those too who come later."""
        self._open = os.open(self.directory / "gate", os.O_RDWR | os.O_CLOEXEC)

    def delegate(self, path: Path) -> None:
        """Write a foreign IPAM plugin whose ADD comes to the gate; `deleted` notes its DELs."""
        path.write_text(
            "#!/bin/sh\n"
            f"cd {self.directory}\n"
            'if [ "$CNI_COMMAND" = ADD ]; then\n'
            '    echo "$CNI_CONTAINERID" >arrived\n'
            "    : <gate\n"
            '    echo "{\\"cniVersion\\":\\"1.0.0\\",'
            '\\"ips\\":[{\\"address\\":\\"10.9.0.${CNI_CONTAINERID#c}/16\\"}]}"\n'
            'elif [ "$CNI_COMMAND" = DEL ]; then\n'
            '    echo "$CNI_CONTAINERID" >>deleted\n'
            "fi\n"
        )
        path.chmod(0o755)

    def deleted(self) -> list[str]:
        """Whose addresses were given back, of those the delegate has given out."""
        try:
            return (self.directory / "deleted").read_text().split()
        except FileNotFoundError:
            return []

    def close(self) -> None:
        """Open it for good."""
        if self._open < 0:
            self.open()
        os.close(self._open)
        os.close(self._arrived)
