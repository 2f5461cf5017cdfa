"""The units of systemd leave the daemons what was found to be needed, each for a reason shown here.

systemd itself does not run here: setpriv(1) bounds the daemon as CapabilityBoundingSet does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from bench.daemon import Daemon
from tests.dhcp.logged import Logged
from tests.dhcp.world import RANGE4, Dnsmasq, Lan
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.packaging.test_dhcp import call as dhcp_call
from tests.packaging.test_dhcp import network as dhcp_network
from tests.reliability.privilege.scenes import CASES

UNITS = Path(__file__).resolve().parents[3] / "packaging" / "systemd"
PLUGINS = frozenset().union(*(case.all for case in CASES.values()))
# Besides what plugins need: to see in which namespaces a caller is that has more capabilities, and
# files of whatever owner.
CNID = PLUGINS | {"CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"}
# Frames and sockets in containers' namespaces, the ports 68 and 546; the namespaces of processes of
# whatever owner, and files.
DHCP = {
    *("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN"),
    *("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"),
}


def bounding_set(unit: str) -> set[str]:
    lines = (UNITS / unit).read_text().splitlines()
    (line,) = (one for one in lines if one.startswith("CapabilityBoundingSet="))
    return set(line.partition("=")[2].split())


def bounded(directory: Path, executable: Path, left: Collection[str]) -> Path:
    """A program that runs the executable with no capabilities but these."""
    names = ",".join(["-all", *(f"+{one.removeprefix('CAP_').lower()}" for one in sorted(left))])
    program = directory / "bounded"
    program.write_text(
        f'#!/bin/sh\nexec setpriv --bounding-set={names} --no-new-privs {executable} "$@"\n'
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("unit", "needed"),
    [("cnid.service", CNID), ("cni-dhcp.service", DHCP)],
    ids=["cnid", "dhcp"],  # a set's text is another in each process
)
def test_a_unit_leaves_just_what_is_needed(unit: str, needed: set[str]) -> None:
    assert bounding_set(unit) == needed
    text = (UNITS / unit).read_text()
    for line in ("NoNewPrivileges=yes", "RestrictSUIDSGID=yes", "LockPersonality=yes"):
        assert line in text


@pytest.mark.parametrize("socket", ["cnid.socket", "cni-dhcp.socket"])
def test_sockets_are_roots(socket: str) -> None:
    text = (UNITS / socket).read_text()
    assert "SocketMode=0600" in text
    assert "SocketUser" not in text


def test_systemd_understands_them(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is missing")
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("@BINDIR@", "/usr/bin")
        for name in ("cnid", "dhcp"):
            text = text.replace(f"/usr/bin/{name}", "/usr/bin/true")
        (tmp_path / unit.name).write_text(text)
    units = sorted(str(one) for one in tmp_path.glob("*.service"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", *units],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    wrong = [one for one in done.stderr.splitlines() if str(tmp_path) in one or "Unknown" in one]
    assert not wrong, done.stderr


@pytest.mark.parametrize("without", ["", *sorted(CNID - {"CAP_NET_RAW"})])
def test_cnid_needs_each(
    without: str, built: Path, host: Host, container: Namespace, tmp_path: Path
) -> None:
    """Where one is missing, the call fails and says so, or runs cold as another caller's would.

    CAP_NET_RAW is for iptables-legacy alone; see test_capabilities.
    """
    host.share_bridge("b0")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *")
    networks = host.state / "networks"
    networks.mkdir(mode=0o700)
    os.chown(networks, 4711, 4711)
    ipam = {"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": str(networks)}
    config = {"type": "bridge", "bridge": "b0", "isGateway": True, "ipMasq": True, "ipam": ipam}
    program = bounded(tmp_path, built / "cnid", CNID - {without})
    daemon = Daemon(program, host, tmp_path)
    try:
        assert mode(daemon.socket) == 0o600
        status, said = _add(built, daemon, config, container)
        refused = daemon.refused()
    finally:
        daemon.stop()
    if without in ("", "CAP_SYS_PTRACE"):
        assert status == 0, said
        assert refused == (without != "")
    else:
        assert status == 1
        assert f"this process has no {without}: leave it to" in said["msg"]
        assert refused == 0
    _call(built, "DEL", "", config, container)
    shutil.rmtree(networks)


def mode(path: Path) -> int:
    """Who may do what with it."""
    return path.stat().st_mode & 0o777


def _add(built: Path, daemon: Daemon, config: dict[str, Any], ns: Namespace) -> tuple[int, Any]:
    done = _call(built, "ADD", str(daemon.socket), config, ns)
    return done.returncode, json.loads(done.stdout)


def _call(
    built: Path, verb: str, socket: str, config: dict[str, Any], ns: Namespace
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [built / config["type"]],
        env={
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": str(ns),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(built),
            "CNID_SOCKET": socket,
        },
        input=json.dumps({"cniVersion": "1.1.0", "name": "n", **config}),
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_the_dhcp_daemon_needs_no_more(
    built: Path, host: Host, container: Namespace, tmp_path: Path
) -> None:
    lan = Lan(host, tmp_path)
    try:
        program = bounded(tmp_path, built / "dhcp", DHCP)
        socket = tmp_path / "dhcp.sock"
        command = (str(program), "daemon", "-socketpath", str(socket))
        with Dnsmasq(lan, tmp_path, RANGE4), Logged(host, *command, environ={}) as daemon:
            daemon.wait('"msg":"serving"')
            config = dhcp_network(socket)
            result = dhcp_call("ADD", built, built, config, container)
            assert result["ips"]
            (lease,) = (tmp_path / "dhcp").iterdir()
            assert [mode(one) for one in (socket, lease.parent, lease)] == [0o600, 0o700, 0o600]
            dhcp_call("CHECK", built, built, {**config, "prevResult": result}, container)
            dhcp_call("DEL", built, built, config, container)
    finally:
        lan.close()
