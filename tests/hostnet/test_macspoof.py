"""The MAC check of bridge ports, by frames of two MACs."""

from __future__ import annotations

import pytest

from hostnet import macspoof
from hostnet.netfilter import Netfilter
from tests.kit.host import Host
from tests.kit.traffic import ping

MAC = "02:00:00:00:00:01"


@pytest.fixture
def port(host: Host) -> str:
    """A bridge with 10.1.0.1 and a container with 10.1.0.2 at its port."""
    inside = host.container()
    for command in (
        "link add br0 type bridge",
        "address add 10.1.0.1/24 dev br0",
        "link set br0 up",
        f"link add veth1 type veth peer name eth0 address {MAC} netns {inside}",
        "link set veth1 master br0 up",
    ):
        host.command("ip", *command.split())
    inside.command("ip", "address", "add", "10.1.0.2/24", "dev", "eth0")
    inside.command("ip", "link", "set", "eth0", "up")
    assert ping(host, "10.1.0.2") is not None
    host.share("link *", "address *", "route *")
    host.share_nft(macspoof.NAME)
    return "veth1"


def test_only_its_own_mac_passes(host: Host, port: str) -> None:
    inside = host.containers[0]
    with Netfilter() as nl:
        macspoof.add(port, MAC)
        macspoof.add(port, MAC)
        assert macspoof.problems(nl, port, MAC) == []
        assert ping(inside, "10.1.0.1") is not None
        inside.command("ip", "link", "set", "eth0", "address", "02:00:00:00:00:02")
        assert ping(inside, "10.1.0.1", 0.3) is None
        macspoof.remove(nl, port)
        macspoof.remove(nl, port)
        assert ping(inside, "10.1.0.1") is not None
        assert "any MAC" in macspoof.problems(nl, port, MAC)[0]
    inside.command("ip", "link", "delete", "eth0")


def test_strangers_go_and_the_others_stay(host: Host, port: str) -> None:
    with Netfilter() as nl:
        assert macspoof.strangers(nl, []) == []
        for name in ("veth1", "veth2", "veth3"):
            macspoof.add(name, MAC)
        assert macspoof.strangers(nl, ["veth2"]) == ["veth1", "veth3"]
        for name in ("veth1", "veth3"):
            macspoof.remove(nl, name)
        for name, known in (("veth1", False), ("veth2", True), ("veth3", False)):
            assert (macspoof.problems(nl, name, MAC) == []) is known
        macspoof.remove(nl, "veth2")
    host.containers[0].command("ip", "link", "delete", "eth0")


def test_names_that_nft_would_misread(host: Host) -> None:
    with pytest.raises(ValueError, match="cannot be a name"):
        macspoof.add('x" ; flush ruleset', MAC)
    with pytest.raises(ValueError, match="holds"):
        macspoof.add("veth1", 'x"; flush ruleset')
