"""The built watcher and cnitool with etcd, and with no more than cnid's unit leaves it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etcd_json import Etcd
from tests.kit.etcd import Authority, EtcdServer, Files
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.packaging.test_daemon import SECONDS, capabilities


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Authority(tmp_path / "tls").issue("etcd", "IP:127.0.0.1")


@pytest.fixture
def server(host: Host, tmp_path: Path, files: Files) -> Iterator[EtcdServer]:
    with EtcdServer(host, tmp_path / "etcd", files=files) as made:
        yield made


@pytest.fixture(autouse=True)
def _underlay(host: Host) -> Iterator[None]:
    host.command("ip", "link", "add", "under0", "type", "bridge")
    host.command("ip", "address", "add", "192.0.2.1/24", "dev", "under0")
    host.command("ip", "link", "set", "under0", "up")
    yield
    for name in ("vxlan42", "vxbr42", "under0"):
        host.command("ip", "link", "del", name)


def test_an_overlay(
    built: Path,
    host: Host,
    container: Namespace,
    server: EtcdServer,
    files: Files,
) -> None:
    """All of it that no other test executes: TLS, threads, the state's socket, the tool's table."""
    host.share_nft()
    host.share_locks()
    host.share("nft element inet pycni_vxlan *")
    plugin: dict[str, Any] = {
        "type": "vxlan",
        "vni": 42,
        "underlay": "under0",
        "network": ["10.244.0.0/16"],
        "peers": {"type": "etcd", "endpoints": [server.url], "node": "one", "ca": files.ca},
        "ipam": {"type": "host-local", "dataDir": str(host.state)},
    }
    directory = host.state.parent / "net.d"
    directory.mkdir()
    conflist = {"cniVersion": "1.1.0", "name": "net", "plugins": [plugin]}
    (directory / "net.conflist").write_text(json.dumps(conflist))
    environ = {
        "PATH": os.environ["PATH"],
        "CNI_PATH": str(built),
        "NETCONFPATH": str(directory),
        "CNID_SOCKET": "",
    }

    def tool(*arguments: str) -> str:
        done = subprocess.run(
            [built / "cnitool", *arguments, "--cache-dir", host.state.parent / "cache"],
            env=environ, text=True, capture_output=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    tool("add", "net", str(container))
    command = ["setpriv", f"--bounding-set={capabilities()}", "--no-new-privs"]
    watcher = subprocess.Popen(
        [*command, built / "cnid", "overlay", "--conf-dir", directory],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert watcher.stderr is not None
        with Etcd([server.url], ca=files.ca) as etcd:
            record = {"address": "192.0.2.2", "mac": "02:00:00:00:00:02"}
            etcd.put("/pycni/net/nodes/two", json.dumps({**record, "subnets": ["10.244.9.0/24"]}))
        seen = []
        for line in watcher.stderr:
            seen.append(json.loads(line))
            if seen[-1]["msg"] == "programmed":
                break
        assert seen[-1]["peers"] == 1, seen
        routes = host.ip("route", "show", "dev", "vxlan42")
        assert [one["dst"] for one in routes] == ["10.244.9.0/24"]
        assert [line.split()[0] for line in tool("overlay", "nodes", "net").splitlines()] == [
            "NODE",
            "one",
            "two",
        ]
        assert tool("overlay", "state", "net").split()[:2] == ["state", "synced"]
        tool("status", "net")
    finally:
        watcher.terminate()
        status = watcher.wait(SECONDS)
        watcher.stderr.close()  # type: ignore[union-attr]
    assert status == 0
    assert "two" in tool("overlay", "reclaim", "net", "two")
    tool("del", "net", str(container))
