"""The IPAM plugins that have a service of their own: dhcp and etcd-ipam."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cni.errors import TRY_AGAIN_LATER
from cni_dhcp import files
from etcd_json import Etcd
from tests.dhcp.conftest import daemon, lan, server
from tests.dhcp.world import Daemon, Dnsmasq
from tests.kit.calls import Runtime
from tests.kit.etcd import EtcdServer
from tests.kit.host import Host
from tests.kit.tables import Publish
from tests.reliability.check import matrix
from tests.reliability.check.matrix import AGAIN, HEADINGS, Mutation, Stage, inside
from tests.reliability.check.matrix import host as on_host

__all__ = ["daemon", "lan", "server"]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    host.share_bridge("cni0")
    host.share("file */cache/results/")
    return Runtime(tmp_path)


LEASED = [
    on_host(
        "rm $lease",
        "the lease file $lease is missing",
    ),
    Mutation(
        "host",
        "the daemon stops",
        "daemon",
        "the daemon starts",
        code=TRY_AGAIN_LATER,
    ),
    on_host(
        "the daemon stops\nrm $lease\nthe daemon starts",
        "the dhcp daemon keeps no lease for container c1 (eth0)",
    ),
    inside("ip address flush dev eth0 scope global", "eth0"),
    inside("ip link set eth0 address 02:00:00:00:00:97", "eth0", AGAIN),
]


def test_dhcp(
    host: Host, runtime: Runtime, daemon: Daemon, server: Dnsmasq, publish: Publish
) -> None:
    section = {"type": "dhcp", "daemonSocketPath": str(daemon.socket)}
    stage = Stage(
        host,
        runtime,
        [{"type": "bridge", "bridge": "lan", "ipam": section}],
        names={"lease": daemon.directory / files.name_of("net/c1/eth0")},
        acts={"the daemon stops": daemon.stop, "the daemon starts": daemon.start},
    )
    publish("check-dhcp", HEADINGS, matrix.run(stage, LEASED))


@pytest.fixture
def etcd(host: Host, tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(host, tmp_path / "etcd") as made:
        yield made


IN_ETCD = [
    on_host("etcdctl del $address", "the key $address is missing"),
    on_host(
        "etcdctl del $owner",
        "the key $owner is missing",
        "etcdctl put $owner 'net 10.1.2.2'",
    ),
    on_host(
        "etcdctl put $address net/n1/c9/eth0",
        "10.1.2.2 is held by 'net/n1/c9/eth0', expected 'net/n1/c1/eth0'",
        "etcdctl put $address net/n1/c1/eth0",
    ),
    Mutation("host", "etcd stops", "etcd", "etcd starts", code=TRY_AGAIN_LATER),
]


def test_etcd(host: Host, runtime: Runtime, etcd: EtcdServer, publish: Publish) -> None:
    address, owner = "/pycni/net/addr/10.1.2.2", "/pycni/net/owner/n1/c1/eth0"
    section = {
        "type": "etcd-ipam",
        "endpoints": [etcd.url],
        "node": "n1",
        "ranges": [[{"subnet": "10.1.2.0/24"}]],
    }
    with Etcd([etcd.url]) as client:
        stage = Stage(
            host,
            runtime,
            [
                {
                    "type": "bridge",
                    "isGateway": True,
                    "capabilities": {"ips": True},
                    "ipam": section,
                }
            ],
            capability_args={"ips": ["10.1.2.2/24"]},
            names={"address": address, "owner": owner},
            acts={
                f"etcdctl del {address}": lambda: client.delete(address),
                f"etcdctl del {owner}": lambda: client.delete(owner),
                f"etcdctl put {owner} 'net 10.1.2.2'": lambda: client.put(owner, "net 10.1.2.2"),
                **{
                    f"etcdctl put {address} net/n1/{one}/eth0": _putter(client, address, one)
                    for one in ("c1", "c9")
                },
                "etcd stops": etcd.stop,
                "etcd starts": etcd.start,
            },
        )
        publish("check-etcd", HEADINGS, matrix.run(stage, IN_ETCD))


def _putter(client: Etcd, key: str, container: str) -> Callable[[], object]:
    return lambda: client.put(key, f"net/n1/{container}/eth0")
