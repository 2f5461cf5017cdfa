"""The chain that most clusters run, by nftables and by iptables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cni_bandwidth import names
from tests.kit import iptables
from tests.kit.calls import Runtime
from tests.kit.host import Host
from tests.kit.tables import Publish
from tests.reliability.check import bridged, by_iptables, matrix
from tests.reliability.check.matrix import HEADINGS, Stage, contained
from wiring import xtables

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    host.share_bridge("cni0")
    host.share_nft()
    host.share_locks()
    host.share("file */cache/results/", "file */tuning/")
    return Runtime(tmp_path)


def chain(host: Host, backend: str, **keys: Any) -> list[dict[str, Any]]:
    """bridge, tuning, portmap, firewall and bandwidth; keys: of bridge."""
    bridge = {
        "type": "bridge",
        "isGateway": True,
        "ipMasq": True,
        "ipMasqBackend": backend,
        "hairpinMode": True,
        "portIsolation": True,
        "capabilities": {"ips": True, "mac": True},
        "ipam": bridged.host_local(str(host.state)),
        **keys,
    }
    tuning = {
        "type": "tuning",
        "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"},
        "promisc": True,
        "allmulti": True,
        "txQLen": 500,
        "dataDir": str(host.state / "tuning"),
    }
    return [
        bridge,
        tuning,
        {"type": "portmap", "backend": backend, "capabilities": {"portMappings": True}},
        {"type": "firewall", "backend": backend, "ingressPolicy": "isolated"},
        {"type": "bandwidth", "ingressRate": 20_000_000, "egressRate": 40_000_000},
    ]


def test_nftables(host: Host, runtime: Runtime, publish: Publish) -> None:
    plugins = chain(host, "nftables", macspoofchk=True)
    stage = Stage(
        host,
        runtime,
        plugins,
        capability_args=bridged.GIVEN,
        names={"ifb": names.own("net/c1/eth0")},
    )
    rows = matrix.run(
        stage,
        [
            *contained(measured=True),
            *bridged.ROUTES_REPLACED,
            *bridged.PORT,
            *bridged.BRIDGE,
            *bridged.MASQUERADE,
            *bridged.MACSPOOF,
            *bridged.PUBLISHED,
            *bridged.ADMITTED,
            *bridged.TUNED,
            *bridged.SHAPED,
            *bridged.RESERVATIONS,
        ],
    )
    publish("check-bridge", HEADINGS, rows)


def test_iptables(host: Host, runtime: Runtime, publish: Publish) -> None:
    iptables.share(host)
    host.share("nft chain ip* CNI-*", "nft rule ip* *")
    saved = {4: host.state.parent / "rules4", 6: host.state.parent / "rules6"}
    stage = Stage(
        host,
        runtime,
        chain(host, "iptables")[:4],
        capability_args=bridged.GIVEN,
        names={
            "masq": xtables.chain("net", "c1"),
            "ports": xtables.chain("net", "c1", "DN-"),
            **{f"rules{version}": path for version, path in saved.items()},
        },
    )
    for program, version in (("iptables-save", 4), ("ip6tables-save", 6)):
        saved[version].write_text(host.command(program).stdout)
    rows = matrix.run(
        stage, [*by_iptables.MASQUERADE, *by_iptables.PUBLISHED, *by_iptables.ADMITTED]
    )
    publish("check-iptables", HEADINGS, rows)
