"""The built daemon, with no more than its unit leaves it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.daemon import Daemon
from tests.kit.host import Host
from tests.kit.namespace import Namespace

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20


def capabilities() -> str:
    """The unit's bounding set, as setpriv(1) wants it."""
    unit = (ROOT / "packaging" / "systemd" / "cnid.service").read_text()
    (line,) = (one for one in unit.splitlines() if one.startswith("CapabilityBoundingSet="))
    names = line.partition("=")[2].split()
    return ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in names)])


@pytest.fixture
def daemon(built: Path, host: Host, tmp_path: Path) -> Iterator[Daemon]:
    bounded = tmp_path / "cnid"
    bounded.write_text(
        f"#!/bin/sh\nexec setpriv --bounding-set={capabilities()} --no-new-privs "
        f'{built}/cnid "$@"\n'
    )
    bounded.chmod(0o755)
    running = Daemon(bounded, host, tmp_path)
    yield running
    running.stop()


def test_the_units_capabilities_are_enough(
    built: Path, host: Host, container: Namespace, daemon: Daemon
) -> None:
    """For a chain whose caller has all of them, and files of another user's."""
    host.share_bridge("b0")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *")
    networks = host.state / "networks"
    networks.mkdir(mode=0o700)
    os.chown(networks, 4711, 4711)
    chain: list[dict[str, Any]] = [
        {
            "type": "bridge",
            "bridge": "b0",
            "isGateway": True,
            "ipMasq": True,
            "mtu": 1400,
            "ipam": {
                "type": "host-local",
                "dataDir": str(networks),
                "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {
            "type": "portmap",
            "runtimeConfig": {
                "portMappings": [
                    {"hostPort": port, "containerPort": 80, "protocol": protocol}
                    for port, protocol in ((8080, "tcp"), (53, "udp"))
                ]
            },
        },
    ]
    result: Any = None
    for command in ("ADD", "CHECK", "DEL"):
        for config in chain if command != "DEL" else reversed(chain):
            document: dict[str, Any] = {"cniVersion": "1.0.0", "name": "n", **config}
            if result is not None:
                document["prevResult"] = result
            done = subprocess.run(
                [built / config["type"]],
                env={
                    "CNI_COMMAND": command,
                    "CNI_CONTAINERID": "one",
                    "CNI_NETNS": str(container),
                    "CNI_IFNAME": "eth0",
                    "CNI_PATH": str(built),
                    "CNID_SOCKET": str(daemon.socket),
                },
                input=json.dumps(document), text=True, capture_output=True, check=False,
                timeout=SECONDS,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            if command == "ADD":
                result = json.loads(done.stdout)
    assert daemon.refused() == 0
    assert daemon.calls() == 6


def test_it_takes_less_memory_than_promised(daemon: Daemon) -> None:
    assert daemon.memory() < 60
