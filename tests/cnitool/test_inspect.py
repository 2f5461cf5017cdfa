"""`inspect`, `attachments`, `ports`, `ipam` and `networks`, over real attachments."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cni.errors import UNKNOWN_CONTAINER, CniError
from cnitool import attach, inspect, ipam, views
from cnitool.state import world
from cnitool.state.model import Attachment
from tests.cnitool.attached import PLUGINS, Network
from tests.kit.host import Host
from tests.kit.namespace import Namespace

POD = (("IgnoreUnknown", "1"), ("K8S_POD_NAMESPACE", "shop"), ("K8S_POD_NAME", "web-7"))


@pytest.fixture
def one(network: Network, host: Host) -> Iterator[Namespace]:
    """A container with port 8080, a pod."""
    netns = host.container("one")
    network.add("c0ffee", netns, 8080, args=POD)
    yield netns
    network.delete("c0ffee", netns)


def shown(capsys: pytest.CaptureFixture[str], act: Callable[..., int], *args: Any) -> Any:
    """What a command answers to programs."""
    assert act(*args, as_json=True) == 0
    return json.loads(capsys.readouterr().out)


def test_all_there_is_about_one(
    network: Network, one: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = shown(capsys, inspect.run, network.settings, "c0ffee")
    links = one.links()
    host_end = found["hostInterface"]
    assert found["mac"] == found["inside"]["mac"] == links["eth0"]["address"]
    assert (host_end["master"], host_end["up"]) == ("cni0", True)
    assert host_end["index"] == links["eth0"]["link_index"]
    assert found["addresses"] == found["inside"]["addresses"] == found["masqueraded"]
    assert found["addresses"] == ["10.1.0.2/24"]
    assert {"dst": "0.0.0.0/0", "gw": "10.1.0.1"} in found["inside"]["routes"]
    assert found["guarded"] == ["10.1.0.2"]
    assert found["ports"] == [
        {
            "protocol": "tcp",
            "hostIP": None,
            "hostPort": 8080,
            "containerIP": "10.1.0.2",
            "containerPort": 80,
            "state": "published",
            "backend": "nftables",
        }
    ]
    file = str(network.data_dir / "net" / "10.1.0.2")
    assert found["reservations"] == [{"address": "10.1.0.2", "file": file}]
    assert (found["pod"], found["alive"], found["conflicts"]) == ("shop/web-7", True, [])
    assert found["netns"] == str(one)


def test_for_people(network: Network, one: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect.run(network.settings, "c0ffee", as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = dict(line.split(maxsplit=1) for line in lines if not line.startswith(" "))
    assert rows["container"] == "c0ffee  (pod shop/web-7)"
    assert rows["network"] == "net  (bridge > portmap > firewall)"
    assert rows["port"] == "0.0.0.0:8080/tcp -> 10.1.0.2:80  (nftables)"
    assert rows["address"] == f"10.1.0.2/24  ({network.data_dir}/net/10.1.0.2)"
    assert rows["namespace"] == str(one)
    assert "conflict" not in rows


def test_by_whatever_a_person_has(network: Network, one: Namespace, host: Host) -> None:
    """Whole words, not parts of them: another container stands beside."""
    other = host.container("two")
    network.add("deadbeef", other, 80)
    seen = world.read(network.settings)
    (entry,) = (each for each in seen.attachments if each.container_id == "c0ffee")
    assert entry.host_end is not None
    words = ["c0ff", "8080", "8080/tcp", ":8080", "10.1.0.2", "web-7", "shop/web-7", str(one)]
    words += ["one", entry.mac, entry.mac.upper(), entry.host_end.name]
    for word in words:
        assert [each.container_id for each in inspect.find(seen, word)] == ["c0ffee"], word
    assert len(inspect.find(seen, "net")) == 2
    for word in ("8080/udp", "808", "10.1.0.20", "0ffee", "web"):
        assert inspect.find(seen, word) == [], word
    with pytest.raises(CniError, match="did you mean c0ffee") as caught:
        inspect.run(network.settings, "coffee", as_json=False)
    assert caught.value.code == UNKNOWN_CONTAINER
    network.delete("deadbeef", other)


CONFLICTS: dict[str, tuple[Callable[[Network, Host, str], object], str]] = {
    "the host's end is down": (
        lambda _network, host, end: host.command("ip", "link", "set", end, "down"),
        "is down: ip link set veth",
    ),
    "the host's end is gone": (
        lambda _network, host, end: host.command("ip", "link", "delete", end),
        "which does not exist",
    ),
    "the reservation is another address": (
        lambda network, _host, _end: (network.data_dir / "net" / "10.1.0.2").rename(
            network.data_dir / "net" / "10.1.0.77"
        ),
        "address 10.1.0.2 is not reserved for it: another container may get it",
    ),
    "no reservation is left": (
        lambda network, _host, _end: (network.data_dir / "net" / "10.1.0.2").unlink(),
        "address 10.1.0.2 is not reserved for it: another container may get it",
    ),
    "the cache has forgotten it": (
        lambda network, _host, _end: next(Path(network.cache.results).iterdir()).unlink(),
        "the cache does not know it, but it holds address 10.1.0.2",
    ),
    "a port leads elsewhere": (
        lambda network, _host, _end: _rewrite(network, "10.1.0.2/24", "10.1.0.3/24"),
        "host port 0.0.0.0:8080/tcp -> 10.1.0.2:80 leads to an address that is not its own",
    ),
    "the entry has no result": (
        lambda network, _host, _end: _rewrite(network, '"result"', '"other"'),
        "has no result of ADD that can be read",
    ),
}


def _rewrite(network: Network, old: str, new: str) -> None:
    path = next(Path(network.cache.results).iterdir())
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("what", CONFLICTS)
def test_where_the_sources_disagree(
    what: str,
    network: Network,
    one: Namespace,
    host: Host,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del one
    seen = world.read(network.settings)
    (entry,) = seen.attachments
    assert entry.host_end is not None
    assert seen.conflicts(entry) == []
    act, words = CONFLICTS[what]
    act(network, host, entry.host_end.name)
    (found,) = shown(capsys, inspect.run, network.settings, "c0ffee")
    assert any(words in sentence for sentence in found["conflicts"]), found["conflicts"]
    (row,) = shown(capsys, views.attachments, network.settings, "")
    assert row["state"] in ("conflict", "unknown")


def test_a_container_that_ended(
    network: Network, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    netns = host.container("one")
    network.add("c1", netns, 8080)
    netns.close()
    (row,) = shown(capsys, views.attachments, network.settings, "")
    assert row["state"] == "gone"
    (found,) = shown(capsys, inspect.run, network.settings, "8080")
    assert (found["alive"], found["inside"]) == (False, None)
    assert "the container ended without a DEL" in found["conflicts"][0]
    document = shown(capsys, ipam.run, network.settings, "net")
    assert [one["address"] for one in document["ranges"][0]["dead"]] == ["10.1.0.2"]
    assert ipam.run(network.settings, "", as_json=False) == 0
    assert "Held by containers that have ended" in capsys.readouterr().out
    network.delete("c1", netns)


def test_ports(network: Network, one: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    del one
    (found,) = shown(capsys, views.ports, network.settings)
    assert (found["hostPort"], found["containerID"], found["network"]) == (8080, "c0ffee", "net")
    assert views.ports(network.settings, as_json=False) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    expected = ["0.0.0.0:8080", "tcp", "10.1.0.2:80", "shop/web-7", "net", "published", "nftables"]
    assert expected in rows


def test_ranges(network: Network, one: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    del one
    stray = network.data_dir / "net" / "10.9.9.9"
    stray.write_text("old\r\neth0")
    document = shown(capsys, ipam.run, network.settings, "net")
    (use,) = document["ranges"]
    assert use["ranges"] == ["10.1.0.1-10.1.0.254"]
    assert (use["size"], use["used"], use["free"], use["dead"]) == (253, 1, 252, [])
    assert use["largestGaps"] == ["10.1.0.3-10.1.0.254"]
    assert [each["address"] for each in document["outside"]] == ["10.9.9.9"]
    assert shown(capsys, ipam.run, network.settings, "other") == {"ranges": [], "outside": []}
    stray.unlink()


def test_networks(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = shown(capsys, views.networks, network.settings)
    assert (found["name"], found["plugins"]) == ("net", ["bridge", "portmap", "firewall"])
    (network.directory / "00.conflist").write_text("{")
    assert views.networks(network.settings, as_json=True) == 1
    assert "00.conflist" in capsys.readouterr().err


def test_what_a_gc_would_remove(
    network: Network, one: Namespace, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that it is all still there afterwards; two that are kept by either spelling are not."""
    del one
    other, kept = host.container("two"), host.container("three")
    network.add("c2", other, 9090)
    network.add("c3", kept)
    assert attach.gc(network.settings, "net", ["c3", "c0ffee:eth0"], dry=True) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows if row and row[0] == "net"] == ["c2"]
    assert attach.gc(network.settings, "net", [], dry=True) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows if row and row[0] == "net"] == ["shop/web-7", "c2", "c3"]
    assert len(world.read(network.settings).attachments) == 3
    for container, netns in (("c2", other), ("c3", kept)):
        network.delete(container, netns)


def _publish_as_the_reference(host: Host, port: int, one: Attachment) -> None:
    """With rules that do not say whose they are."""
    chain = "CNI-DN-0123456789abcdef01234"
    host.command("iptables", "-t", "nat", "-N", chain)
    to = ("-j", "DNAT", "--to-destination", f"{one.ips[0]}:80")
    host.command("iptables", "-t", "nat", "-A", chain, "-p", "tcp", "--dport", str(port), *to)


def test_ports_by_iptables(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host.share_bridge("cni0")
    host.share("iptables *", "nft *", "sysctl *")
    host.share_locks()
    plugins = [{**each, "backend": "iptables"} for each in PLUGINS[:2]]
    plugins[0].pop("ipMasq")
    network = Network(tmp_path, host, plugins)
    netns = host.container("one")
    network.add("c1", netns, 8080)
    (found,) = shown(capsys, views.ports, network.settings)
    assert (found["hostPort"], found["containerID"], found["backend"]) == (8080, "c1", "iptables")
    _publish_as_the_reference(host, 8081, world.read(network.settings).attachments[0])
    _, found = shown(capsys, views.ports, network.settings)
    assert (found["hostPort"], found["containerID"], found["backend"]) == (8081, "c1", "iptables")
    seen = world.read(network.settings)
    assert [one.container_id for one in inspect.find(seen, "8081/tcp")] == ["c1"]
    host.command("iptables", "-t", "nat", "-F", "CNI-DN-0123456789abcdef01234")
    host.command("iptables", "-t", "nat", "-X", "CNI-DN-0123456789abcdef01234")
    network.delete("c1", netns)
    host.command("ip", "link", "delete", "cni0")
