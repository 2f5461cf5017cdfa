"""The executables and the daemon: are they there, whose are they, do they fit together."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess

from cni import __version__, about
from cni.errors import CniError
from cni.execute import find
from cnitool.doctor.model import ERROR, NOTE, OK, WARNING, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnitool.doctor.model import Host

_SECONDS = 10
_SOCKET = "/run/cni/cnid.sock"
_OURS = "pycni"


def executables(host: Host) -> Iterator[Finding]:
    """Every plugin that a network names: found, runnable, whose."""
    own: list[str] = []
    for name in sorted(host.plugins):
        try:
            path = find(name, host.settings.path)
        except CniError as error:
            remedy = f"make install BINDIR={host.settings.path[0] if host.settings.path else ''}"
            yield Finding(ERROR, "plugins", error.msg, remedy)
            continue
        said = _about(path)
        if said is None:
            yield Finding(ERROR, "plugins", f"{path} cannot be run", f"file {path}; ls -l {path}")
        elif _OURS not in said:
            text = f"{path} is another suite's: {said or 'it does not say whose'}"
            yield Finding(NOTE, "plugins", text, "that works; mixed chains are tested")
        elif said != about(name):
            text = f"{path} is of another version than this cnitool {__version__}: {said}"
            yield Finding(WARNING, "plugins", text, "make install")
        else:
            own.append(name)
    if own:
        yield Finding(OK, "plugins", f"{', '.join(own)} are pycni {__version__}")


def _about(path: str) -> str | None:
    """The first line that a plugin prints when it is run by hand."""
    try:
        done = subprocess.run(
            [path],
            env={"CNID_SOCKET": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stderr.splitlines()
    return lines[0][:200] if lines else ""


def daemon(host: Host) -> Iterator[Finding]:
    """Whether `cnid` answers, is of this version, and serves without errors."""
    path = host.settings.environ.get("CNID_SOCKET", _SOCKET)
    if not path or not os.path.exists(path):
        text = "no cnid runs: every call starts Python, in 15 to 40 ms instead of 1 to 7"
        yield Finding(NOTE, "daemon", text, "systemctl enable --now cnid.socket")
        return
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        yield Finding(ERROR, "daemon", f"{path} is no socket", f"rm {path}; systemctl restart cnid")
        return
    found = _status(host)
    if found is None:
        yield _silent(path)
        return
    build = str(found.get("build", ""))
    lost = found.get("lost", 0)
    if lost:
        text = f"{lost} calls were lost with a worker that died"
        yield Finding(WARNING, "daemon", text, "journalctl -u cnid -p warning")
    yield Finding(OK, "daemon", f"cnid {build} runs")


def _silent(path: str) -> Finding:
    """One that has died costs calls nothing; for one that hangs they wait."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(_SECONDS)
        try:
            connection.connect(path)
            text = f"{path} is there, but no cnid answers: calls wait for it before they run cold"
        except ConnectionRefusedError:
            text = f"{path} is there, but no cnid listens: every call starts Python"
        except OSError as error:
            text = f"{path} is there, but no cnid answers: {error.strerror or error}"
    remedy = "systemctl restart cnid.socket cnid.service; journalctl -u cnid"
    return Finding(WARNING, "daemon", text, remedy)


def _status(host: Host) -> dict[str, object] | None:
    """What `cnid status --json` says; the daemon's own word, by the program that is installed."""
    try:
        program = find("cnid", host.settings.path)
        done = subprocess.run(
            [program, "status", "--json"],
            env=dict(host.settings.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (CniError, OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return found if isinstance(found, dict) else None
