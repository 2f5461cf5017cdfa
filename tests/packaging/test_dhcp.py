"""`dhcp daemon` as it is built, asked by the executables, ours and the reference's."""

from __future__ import annotations

import json
import os
import socket as sockets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dhcp.logged import Logged
from tests.dhcp.world import RANGE4, Dnsmasq, Lan
from tests.kit.calls import Document
from tests.kit.host import Host
from tests.kit.namespace import Namespace

REFERENCE = Path("/usr/lib/cni")


@pytest.fixture
def lan(host: Host, tmp_path: Path) -> Iterator[Lan]:
    made = Lan(host, tmp_path)
    yield made
    made.close()


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "dhcp.sock"


@pytest.fixture
def daemon(built: Path, host: Host, socket: Path) -> Iterator[Logged]:
    command = (str(built / "dhcp"), "daemon", "-socketpath", str(socket))
    with Logged(host, *command, environ={}) as made:
        made.wait('"msg":"serving"')
        yield made


def call(verb: str, interface: Path, ours: Path, config: Document, netns: Namespace) -> Document:
    done = subprocess.run(
        [interface / config["type"]],
        input=json.dumps(config),
        env={
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": str(netns),
            "CNI_PATH": os.pathsep.join((str(ours), str(interface))),
            "CNID_SOCKET": "",
            "PATH": os.environ["PATH"],
        },
        text=True,
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: Document = json.loads(done.stdout or "{}")
    return answer


def network(socket: Path, version: str = "1.0.0") -> Document:
    ipam = {"type": "dhcp", "daemonSocketPath": str(socket)}
    return {"cniVersion": version, "name": "net", "type": "bridge", "bridge": "lan", "ipam": ipam}


@pytest.mark.parametrize("whose", ["ours", "the reference's"])
def test_a_container_by_executables(
    whose: str, built: Path, lan: Lan, daemon: Logged, container: Namespace
) -> None:
    """Under both suites' bridge plugins; and over a kill of the daemon.

    The reference's removes the interface first, through which a lease would be given back.
    """
    interface = built if whose == "ours" else REFERENCE
    config = network(container.path.parent / "dhcp.sock")
    with Dnsmasq(lan, container.path.parent, RANGE4) as server:
        result = call("ADD", interface, built, config, container)
        address = result["ips"][0]["address"]
        assert container.addresses("eth0") == [address]
        daemon.kill()
        after = daemon.mark()
        daemon.start()
        daemon.wait('"msg":"resumed","leases":1', after)
        call("CHECK", interface, built, {**config, "prevResult": result}, container)
        call("DEL", interface, built, config, container)
        if whose == "ours":
            server.wait(f"DHCPRELEASE.* {address.partition('/')[0]} ")
        else:
            daemon.wait('"msg":"not released"')
        assert not list((container.path.parent / "dhcp").iterdir())


def test_systemd_hands_over_the_socket_and_hears_of_it(
    built: Path, host: Host, socket: Path, container: Namespace
) -> None:
    """systemd's contract: the socket is descriptor 3, and the daemon leaves it in its place."""
    starter = (
        "import os, socket, sys;"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen();"
        "os.dup2(s.fileno(), 3); os.set_inheritable(3, True);"
        "os.environ['LISTEN_PID'] = str(os.getpid());"
        "os.execv(sys.argv[2], [sys.argv[2], 'daemon'])"
    )
    ready = Path(f"{socket}.ready")
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_DGRAM) as systemd:
        systemd.bind(str(ready))
        systemd.settimeout(10)
        environ = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": str(ready)}
        python = "/usr/bin/python3"
        command = (python, "-c", starter, str(socket), str(built / "dhcp"))
        with Logged(host, *command, environ=environ) as daemon:
            assert systemd.recv(100) == b"READY=1"
            call("STATUS", built, built, {**network(socket, "1.1.0"), "type": "dhcp"}, container)
            daemon.stop()
        assert systemd.recv(100) == b"STOPPING=1"
        assert socket.exists()
