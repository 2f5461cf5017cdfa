"""`cnitool explain`: it changes nothing, and an ADD then makes what it names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cni import wire
from cni.explained import Step
from cni.jsonvalue import JsonObject
from cni.record import replace
from cni.result import Result
from cni_testing import leaks
from cni_testing.host import SYSTEM_DIRECTORIES
from cnitool.explain import chain, command
from cnitool.explain.chain import Part
from cnitool.explain.plugins import PLUGINS
from cnitool.schemas import readers
from cnitool.settings import Settings
from libcni.conf import network_from_bytes
from tests.cnitool.attached import Network
from tests.kit.calls import Document
from tests.kit.host import Host
from tests.kit.namespace import Namespace

CONTAINER = "c0ffee"
SUBNET = {"type": "host-local", "subnet": "10.1.0.0/24", "routes": [{"dst": "192.0.2.0/24"}]}
BOTH = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
}
BRIDGE: Document = {
    "type": "bridge",
    "bridge": "br0",
    "isDefaultGateway": True,
    "ipMasq": True,
    "macspoofchk": True,
    "mtu": 1400,
    "ipam": BOTH,
}
VXLAN: Document = {
    "type": "vxlan",
    "vni": 42,
    "network": ["10.244.0.0/16"],
    "peers": {
        "type": "static",
        "nodes": [
            {"address": "192.0.2.1", "subnets": ["10.244.1.0/24"]},
            {"address": "192.0.2.2", "subnets": ["10.244.2.0/24"]},
        ],
    },
    "ipam": {"type": "host-local"},
}
NETWORKS: dict[str, list[Document]] = {
    "bridge chain": [
        BRIDGE,
        {"type": "tuning", "mtu": 1300, "sysctl": {"net.core.somaxconn": "500"}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall", "ingressPolicy": "same-bridge"},
    ],
    "bridge without addresses": [{"type": "bridge", "bridge": "br0"}],
    "ptp": [{"type": "ptp", "ipMasq": True, "ipam": SUBNET}],
    "macvlan": [{"type": "macvlan", "master": "up0", "mtu": 1400, "ipam": SUBNET}],
    "vxlan": [VXLAN],
    "static": [
        {
            "type": "ptp",
            "ipam": {
                "type": "static",
                "addresses": [{"address": "10.3.0.7/24", "gateway": "10.3.0.1"}],
            },
        }
    ],
}


@pytest.fixture
def made(host: Host, tmp_path: Path) -> Iterator[Callable[[list[Document]], Network]]:
    """Makes a network on a host with an interface `up0`, 192.0.2.1."""
    host.share("link *", "address *", "route *", "sysctl *")
    host.share_nft()
    host.share("nft element inet pycni_vxlan *", f"file {host.state}/tuning/")
    host.share_locks()
    host.command("ip", "link", "add", "up0", "type", "veth", "peer", "name", "wire")
    host.command("ip", "address", "add", "192.0.2.1/24", "dev", "up0")
    for name in ("up0", "wire"):
        # Without link-local addresses, which come when they like.
        host.command("ip", "link", "set", name, "addrgenmode", "none")
        host.command("ip", "link", "set", name, "up")
    host.command("ip", "route", "add", "default", "via", "192.0.2.254")

    def make(plugins: list[Document]) -> Network:
        own = {"dataDir": f"{host.state}/tuning"}
        return Network(
            tmp_path, host, [{**one, **own} if one["type"] == "tuning" else one for one in plugins]
        )

    yield make
    host.command("ip", "link", "delete", "up0")


def explained(network: Network, container: str = CONTAINER) -> tuple[list[Part], Result]:
    environ = {**network.settings.environ, "CAP_ARGS": '{"portMappings": [' + PORT + "]}"}
    settings = replace(network.settings, environ=environ)
    found, results = zip(*chain.parts(settings, network.conf, container), strict=True)
    return list(found), results[-1]


PORT = '{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}'


def snapshot(host: Host) -> set[str]:
    """All that a plugin could leave: links, addresses, routes, rules, files, forwarding."""
    forwarding = host.run(lambda: Path("/proc/sys/net/ipv4/ip_forward").read_text())
    files = leaks.of_directories((host.state, *SYSTEM_DIRECTORIES))
    return host.run(leaks.of_namespace) | files | {f"forwarding {forwarding}"}


def is_there(step: Step, after: set[str], netns: Namespace) -> bool:
    """Whether an ADD has made what a step names. after: what is new on the host."""
    elements = [line for line in after if line.startswith("nft element")]
    if step.does == "makes" and step.kind in ("bridge", "device"):
        return any(line.startswith(f"link {step.name} ") for line in after)
    if step.does == "makes":
        return step.name in netns.links()
    if step.kind == "address" and "container's" in step.why:
        return step.name in netns.addresses("eth0")
    if step.kind == "address" and "gateway" in step.why:
        return any(line.startswith("address ") and line.endswith(step.name) for line in after)
    if step.kind == "sysctl" and "container" in step.why:
        value = netns.run(lambda: Path("/proc/sys", step.name).read_text())
        return value.strip() == step.why.partition(",")[0]
    if step.kind == "sysctl":
        return Path("/proc/sys", step.name).read_text().strip() == "1"
    if step.kind == "mtu":
        return str(netns.links()["eth0"]["mtu"]) == step.name
    if step.kind in ("masquerade", "admission", "peer"):
        return any(f'"{step.name}"' in line for line in elements)
    if step.kind == "port":
        port = step.name.rpartition(":")[2].partition("/")[0]
        return any(port in line for line in elements)
    return step.kind in CHECKED_OTHERWISE


CHECKED_OTHERWISE = {"address", "addresses", "route", "MAC check", "subnet", "guard", "master"}
"""By the result, or by the tests of what makes it."""


def comparable(result: Result) -> Document:
    """What explain can know: not the MACs that are random, nor the kernel's choice of an MTU."""
    interfaces = tuple(
        replace(one, mac="", mtu=0, sandbox="inside" if one.sandbox else "")
        for one in result.interfaces
    )
    return wire.encode(replace(result, interfaces=interfaces), "1.1.0")


@pytest.mark.parametrize("name", NETWORKS)
def test_it_changes_nothing_and_add_makes_what_it_names(
    name: str, made: Callable[[list[Document]], Network], host: Host
) -> None:
    network = made(NETWORKS[name])
    before = snapshot(host)
    parts, result = explained(network)
    assert [part.problem for part in parts] == [""] * len(parts)
    assert snapshot(host) == before

    netns = host.container("one")
    added = network.add(CONTAINER, netns, 8080)
    try:
        assert comparable(result) == comparable(wire.decode(JsonObject(added)))
        after = snapshot(host) - before
        for part in parts:
            for step in part.steps:
                assert is_there(step, after, netns), (part.plugin, step)
        # A second container's plan uses what the first one's ADD has made.
        again, second = explained(network, "other")
        steps = [step for part in again for step in part.steps]
        assert not [
            one for one in steps if one.does == "makes" and one.kind in ("bridge", "device")
        ]
        if name not in ("static", "bridge without addresses"):
            assert second.ips[0].address.ip == result.ips[0].address.ip + 1
    finally:
        network.delete(CONTAINER, netns)
        for link in ("br0", "vxbr42", "vxlan42"):
            if link in host.links():
                host.command("ip", "link", "delete", link)


def test_the_words(
    made: Callable[[list[Document]], Network], capsys: pytest.CaptureFixture[str]
) -> None:
    network = made(NETWORKS["bridge chain"])
    settings = replace(
        network.settings,
        environ={**network.settings.environ, "CAP_ARGS": f'{{"portMappings": [{PORT}]}}'},
    )
    assert command.run(settings, "net", "", as_json=False) == 0
    told = capsys.readouterr().out
    for words in (
        "makes bridge br0  (there is none of that name, MTU 1400)",
        "takes address 10.1.0.2  (the next free one of 10.1.0.1-10.1.0.254",
        "sets address fd00:1::1/64  (of br0, as the gateway)",
        "sets route 0.0.0.0/0  (in the container, by 10.1.0.1)",
        "sets masquerade 10.1.0.2  (what it sends beyond 10.1.0.0/24, by nftables: ",
        "sysctl net/ipv4/ip_forward",
        "sets mtu 1300",
        "sets port 0.0.0.0:8080/tcp  (leads to 10.1.0.2:80, by nftables: ",
        'sets admission 10.1.0.2  (ingressPolicy "same-bridge", by ',
        "veth? stands for the host's end",
    ):
        assert words in told, told
    assert command.run(settings, "net", CONTAINER, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["plugin"] for one in document["plugins"]] == [
        "bridge", "tuning", "portmap", "firewall",
    ]  # fmt: skip
    assert document["plugins"][0]["steps"][0] == {
        "does": "makes",
        "kind": "bridge",
        "name": "br0",
        "why": "there is none of that name, MTU 1400",
    }
    assert document["result"]["interfaces"][1]["name"].startswith("veth")
    assert document["result"]["ips"][0]["address"] == "10.1.0.2/24"


def test_a_bridge_that_has_lost_its_address(
    made: Callable[[list[Document]], Network], host: Host
) -> None:
    network = made([{"type": "bridge", "bridge": "br0"}])
    host.command("ip", "link", "add", "br0", "type", "bridge")
    host.command("ip", "link", "add", "port", "master", "br0", "type", "veth", "peer", "other")
    host.command("ip", "link", "delete", "port")
    try:
        (part,), result = explained(network)
    finally:
        host.command("ip", "link", "delete", "br0")
    assert part.steps[0].why == "it is there, set up, given a MAC, which it has lost"
    assert result.interfaces[0].mac == ""


def test_that_the_bridge_would_not_stay(
    made: Callable[[list[Document]], Network], capsys: pytest.CaptureFixture[str]
) -> None:
    network = made([{"type": "bridge", "bridge": "br0", "pruneBridge": True}])
    assert command.run(network.settings, "net", "", as_json=False) == 0
    assert "makes bridge br0  (there is none of that name, goes with its last container)" in (
        capsys.readouterr().out
    )


def test_where_an_add_would_fail(
    made: Callable[[list[Document]], Network], capsys: pytest.CaptureFixture[str]
) -> None:
    network = made([{**BRIDGE, "bridge": "up0"}, {"type": "portmap"}])
    assert command.run(network.settings, "net", "", as_json=False) == 1
    told = capsys.readouterr().out
    assert 'fails: bridge on network "net": interface up0 is veth, expected a bridge' in told
    assert "portmap" not in told  # it would not come to that
    assert command.run(network.settings, "net", "", as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["result"] is None
    assert "expected a bridge" in document["plugins"][0]["problem"]


def test_a_plugin_of_somebody_else(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "10.conflist"
    plugins = [{"type": "somebody-elses"}, {"type": "loopback"}]
    path.write_text(json.dumps({"cniVersion": "1.1.0", "name": "net", "plugins": plugins}))
    settings = Settings((str(tmp_path),), str(tmp_path), {}, cache_dir=str(tmp_path))
    assert command.run(settings, str(path), "", as_json=False) == 0
    assert "asks plugin somebody-elses  (which is not of this suite" in capsys.readouterr().out


def test_a_full_range_fails(made: Callable[[list[Document]], Network], host: Host) -> None:
    network = made([{"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.1.0.0/30"}}])
    directory = host.state / "networks" / "net"
    directory.mkdir(parents=True)
    (directory / "10.1.0.2").write_text("other\r\neth0")
    (part,), _ = explained(network)
    assert "no IP addresses available in range set: 10.1.0.1-10.1.0.2" in part.problem
    (directory / "10.1.0.2").write_text("")  # torn: nobody's
    (part,), _ = explained(network)
    assert part.problem == ""
    (directory / "10.1.0.2").unlink()
    (directory / "10.1.0.2").mkdir()  # somebody's, whatever it is
    (part,), _ = explained(network)
    assert "no IP addresses available" in part.problem
    for path in (directory / "10.1.0.2", directory, directory.parent):
        path.unlink() if path.is_file() else path.rmdir()


def test_every_plugin_explains_itself() -> None:
    assert set(PLUGINS) == {*readers.INTERFACES, *readers.IPAM}
    for plugin in PLUGINS.values():
        assert plugin.explain is not None, plugin.name


@pytest.mark.parametrize("name", sorted({*readers.INTERFACES, *readers.IPAM}))
def test_every_sample_is_explained_or_refused_in_words(
    name: str, made: Callable[[list[Document]], Network], host: Host
) -> None:
    """After a plugin that gives addresses, with every document that the readers are tried with."""
    network = made([BRIDGE])
    before = snapshot(host)
    for sample in {**readers.INTERFACES, **readers.IPAM}[name].samples:
        config: Any = {"type": name, **sample}
        if name in readers.IPAM:
            section: Any = sample["ipam"]
            config = {"type": "bridge", "bridge": "br0", "ipam": {"type": name, **section}}
        plugins = [config] if name in readers.IPAM else [BRIDGE, config]
        document = {"cniVersion": "1.1.0", "name": "net", "plugins": plugins}
        conf = network_from_bytes(json.dumps(document).encode())
        for part, _ in chain.parts(network.settings, conf, ""):
            assert part.steps or part.problem
            assert "Error" not in part.problem
    assert snapshot(host) == before
