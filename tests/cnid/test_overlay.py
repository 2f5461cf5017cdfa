"""The process that keeps overlays: there while a configuration needs it, and never without cnid."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cni_vxlan import watchstate
from cnid.overlay_configs import OverlayConfigs
from cnid.overlay_supervisor import OverlaySupervisor
from cnid.status import as_text
from tests.cnid.daemon import CNID, SECONDS, Daemon, Suite, wait_until
from tests.kit.host import Host

STATIC = {
    "type": "vxlan",
    "vni": 42,
    "network": ["10.244.0.0/16"],
    "peers": {"nodes": [{"address": "192.0.2.1", "subnets": ["10.244.1.0/24"]}]},
    "ipam": {"type": "host-local"},
}


@pytest.fixture
def directory(host: Host, tmp_path: Path) -> Path:
    """Of network configurations; there is none as yet."""
    return tmp_path / "net.d"


def write(directory: Path, name: str = "blue", *plugins: dict[str, Any]) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.conflist"
    document = {"cniVersion": "1.1.0", "name": name, "plugins": plugins or [STATIC]}
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def daemon(suite: Suite, directory: Path) -> Iterator[Daemon]:
    with Daemon(suite, "--workers=1", f"--conf-dir={directory}") as made:
        yield made


def started(daemon: Daemon, count: int = 1) -> int:
    """Wait until the process was started so many times; its number."""
    lines = daemon.wait_for(lambda line: line["msg"] == "overlay process started", count)
    pid: int = lines[-1]["pid"]
    daemon.wait_for(lambda line: line["msg"] == "watching overlays", count)
    return pid


def ends(pid: int) -> int:
    """A descriptor that is readable once the process is gone."""
    return os.pidfd_open(pid)


def descriptors(pid: int) -> dict[str, str]:
    """What a process has open, by number."""
    found = {}
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[one.name] = os.readlink(one)
        except FileNotFoundError:  # closed just now
            pass
    return found


def wait_end(fd: int) -> None:
    assert select.select([fd], [], [], SECONDS)[0]
    os.close(fd)


# ---- with the daemon ----------------------------------------------------------------------------


def test_it_comes_and_goes_with_the_configuration(daemon: Daemon, directory: Path) -> None:
    assert daemon.status()["overlay"] == {
        "wanted": False, "pid": 0, "starts": 0, "uptime": 0.0, "memory": 0,
    }  # fmt: skip
    write(directory, "other", {"type": "bridge"})
    path = write(directory)
    pid = started(daemon)
    state = daemon.status()["overlay"]
    assert (state["wanted"], state["pid"], state["starts"]) == (True, pid, 1)
    assert 1024 < state["memory"] < 60 * 1024
    assert pid not in daemon.processes()
    (line,) = daemon.wait_for(lambda line: line["msg"] == "overlay")
    assert (line["network"], line["state"]) == ("blue", "absent")
    assert "192.0.2.1" in line["error"] or line["error"] == ""
    end = ends(pid)
    path.unlink()
    wait_end(end)
    wait_until(lambda: not daemon.status()["overlay"]["pid"])
    assert not any(line["msg"] == "overlay process ended" for line in daemon.lines)
    write(directory)
    assert started(daemon, 2) != pid


def test_it_is_executed_anew_and_not_forked(daemon: Daemon, directory: Path) -> None:
    """It has none of the daemon's sockets; its stdin is what tells it that the daemon is gone."""
    write(directory)
    pid = started(daemon)
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert [*map(os.fsencode, CNID)] == command[: len(CNID)]
    assert b"overlay" in command
    children = descriptors(pid)
    assert children["0"].startswith("pipe:")
    assert children["1"] == "/dev/null"
    shared = set(descriptors(daemon.process.pid).values()) & set(children.values())
    assert {one for one in shared if not one.startswith("/dev/")} == {children["0"], children["2"]}
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"NOTIFY_SOCKET" not in environ


def test_it_comes_back_when_it_is_killed(daemon: Daemon, directory: Path) -> None:
    """Not at once, and later each time."""
    write(directory)
    for count in (1, 2):
        pid = started(daemon, count)
        os.kill(pid, signal.SIGKILL)
        daemon.wait_for(lambda line: line["msg"] == "overlay process ended", count)
    started(daemon, 3)
    lines = [line for line in daemon.lines if line["msg"].startswith("overlay process")]
    assert [line["msg"].rpartition(" ")[2] for line in lines] == ["started", "ended"] * 2 + [
        "started"
    ]
    assert [line["status"] for line in lines if "status" in line] == [-signal.SIGKILL] * 2
    assert daemon.status()["overlay"]["starts"] == 3
    times = [_seconds(line["time"]) for line in lines]
    first, second = ((times[at] - times[at - 1]) % 60 for at in (2, 4))
    assert 0.9 < first < second
    assert second > 1.9


def _seconds(stamp: str) -> float:
    return float(re.sub(r".*:([\d.]+)Z", r"\1", stamp))


def test_it_ends_with_the_daemon(suite: Suite, directory: Path) -> None:
    write(directory)
    with Daemon(suite, "--workers=1", f"--conf-dir={directory}") as daemon:
        end = ends(started(daemon))
        assert daemon.stop() == 0
        wait_end(end)


def test_it_ends_when_the_daemon_is_killed(suite: Suite, directory: Path) -> None:
    write(directory)
    with Daemon(suite, "--workers=1", f"--conf-dir={directory}") as daemon:
        end = ends(started(daemon))
        daemon.kill()
        wait_end(end)


def test_workers_do_not_keep_it(suite: Suite, directory: Path) -> None:
    """A worker that is forked while it runs does not hold its stdin open."""
    write(directory)
    with Daemon(suite, "--workers=1", f"--conf-dir={directory}") as daemon:
        pid = started(daemon)
        os.kill(daemon.pids[0], signal.SIGKILL)
        wait_until(lambda: daemon.pids[0] not in workers(daemon) and bool(workers(daemon)))
        pipe = os.readlink(f"/proc/{pid}/fd/0")
        (worker,) = workers(daemon)
        wait_until(lambda: pipe not in descriptors(worker).values())  # a new one closes first


def workers(daemon: Daemon) -> list[int]:
    return [one["pid"] for one in daemon.status()["workers"]]


def test_none_is_wanted(suite: Suite, directory: Path) -> None:
    write(directory)
    with Daemon(suite, "--workers=1", "--conf-dir=") as daemon:
        assert not daemon.status()["overlay"]["wanted"]
        assert "overlay" not in as_text(daemon.status())


def test_for_people(daemon: Daemon, directory: Path) -> None:
    write(directory)
    pid = started(daemon)
    (line,) = [one for one in as_text(daemon.status()).splitlines() if one.startswith("overlay")]
    assert re.fullmatch(
        rf"overlay: process {pid}, up 0:\d\d:\d\d, \d+ MiB, started 1 times; "
        r"`cnitool overlay state NETWORK` asks it",
        line,
    )


def test_a_command_that_is_not_there(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(directory)
    supervisor = OverlaySupervisor(str(directory), ["/nowhere/cnid"])
    supervisor.tick()
    supervisor.tick()  # it rests
    assert supervisor.state()["pid"] == 0
    lines = capfd.readouterr().err.splitlines()
    assert [json.loads(line)["msg"] for line in lines] == ["cannot start the overlay process"]
    supervisor.close()


# ---- by itself ----------------------------------------------------------------------------------


def test_without_a_daemon(host: Host, directory: Path) -> None:
    write(directory)
    command = [*CNID, "overlay", f"--conf-dir={directory}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["msg"] == "overlay":
                break
        found = watchstate.read()
        assert found["pid"] == process.pid
        assert isinstance(found["networks"], dict)
        assert list(found["networks"]) == ["blue"]
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
        process.stderr.close()
    finally:
        process.kill()
        process.wait()
    assert not list(Path(watchstate.DIRECTORY).iterdir())


def test_its_stdin_ends(host: Host, directory: Path) -> None:
    command = [*CNID, "overlay", f"--conf-dir={directory}", "--until-eof"]
    done = subprocess.run(
        command, input="", capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0
    assert done.stdout == ""
    messages = [json.loads(line)["msg"] for line in done.stderr.splitlines()]
    assert messages == ["watching overlays", "no longer watching overlays"]


# ---- the directory ------------------------------------------------------------------------------


def test_what_is_an_overlay_of_ours(directory: Path) -> None:
    networks = OverlayConfigs(str(directory))
    assert networks.changed() == []
    assert networks.changed() is None
    write(directory, "a", {"type": "bridge"})
    write(
        directory, "b", {"type": "vxlan", "vni": 1, "peers": {"type": "etcd"}}, {"type": "tuning"}
    )
    write(directory, "c", {"type": "vxlan", "vni": 2, "peers": {"type": "evpn"}})
    write(directory, "d", {"type": "vxlan", "vni": 3, "peers": {"type": "flannel"}})
    write(directory, "e", {"type": "vxlan", "vni": 4})
    (directory / "f.conflist").write_text("{")
    (directory / "g.conf").write_text(json.dumps({"name": "g", **STATIC}))
    found = networks.changed()
    assert found is not None
    assert [(name, config.get("vni")) for name, config in found] == [("b", 1), ("e", 4), ("g", 42)]
    assert networks.changed() is None


def test_every_change_is_seen(directory: Path) -> None:
    networks = OverlayConfigs(str(directory))
    path = write(directory)
    networks.changed()
    status = path.stat()
    path.write_text(path.read_text().replace("42", "43"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    found = networks.changed()
    assert found is not None
    assert found[0][1].get("vni") == 43
    folder = directory / "blue"
    folder.mkdir()
    assert networks.changed() is None
    (folder / "50-more.conf").write_text(json.dumps({"type": "vxlan", "vni": 7}))
    assert networks.changed() is not None
    # As Kubernetes replaces what it mounts: the link leads elsewhere, the name stays.
    other = write(directory.with_name("elsewhere"), "blue")
    path.unlink()
    path.symlink_to(other)
    assert networks.changed() is not None
    path.unlink()
    (folder / "50-more.conf").unlink()
    assert networks.changed() == []
