"""Links and bridges on a real kernel, compared with what `ip` sees."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from hostnet import bridge, link
from hostnet.netlink import Netlink, NetlinkError
from tests.kit.host import Host
from tests.kit.namespace import Namespace


@pytest.fixture
def nl(host: Host) -> Iterator[Netlink]:
    with Netlink() as socket:
        yield socket


def test_an_alias_comes_with_the_link(host: Host, nl: Netlink) -> None:
    """No death of the process comes between the two messages: they are one call of the kernel."""
    sent: list[bytes] = []
    send = Netlink._send

    def noted(nl: Netlink, message: bytes, what: str) -> None:
        sent.append(message)
        send(nl, message, what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Netlink, "_send", noted)
        made = link.create_veth(nl, "v0", "v1", alias="net/c1/eth0")
        named = bridge.create(nl, "cni0", alias="net")
    assert len(sent) == 2
    assert [host.links()[name]["ifalias"] for name in ("v0", "cni0")] == ["net/c1/eth0", "net"]
    assert (made.alias, named.alias) == ("net/c1/eth0", "net")
    link.set_up(nl, made.index)  # no answer of theirs is taken for one of the next
    for one in (made, named):
        link.delete(nl, one.index)


def test_an_alias_that_goes_with_a_refused_link_is_no_answer(host: Host, nl: Netlink) -> None:
    made = link.create_veth(nl, "v0", "v1")
    with pytest.raises(NetlinkError) as caught:
        link.create_veth(nl, "v0", "v2", alias="net/c1/eth0")
    assert caught.value.errno == errno.EEXIST
    link.set_up(nl, made.index)
    link.delete(nl, made.index)


def test_a_veth_pair_is_complete_with_its_one_message(
    host: Host, container: Namespace, nl: Netlink
) -> None:
    master = bridge.create(nl, "cni0", up=True)
    with container.open() as inside, inside.netlink() as there:
        made = link.create_veth(
            nl,
            "veth0",
            "eth0",
            mac="02:00:00:00:00:01",
            peer_mac="02:00:00:00:00:02",
            mtu=1400,
            master=master.index,
            peer_netns_fd=inside.fileno(),
        )
        other = link.by_index(there, made.peer)
    seen = host.links()["veth0"]
    assert (seen["address"], seen["mtu"], seen["master"]) == ("02:00:00:00:00:01", 1400, "cni0")
    assert (made.name, made.kind, made.mac, made.mtu, made.master, made.up) == (
        "veth0",
        "veth",
        "02:00:00:00:00:01",
        1400,
        master.index,
        False,
    )
    assert made.netnsid is not None
    inner = container.links()["eth0"]
    assert (inner["ifindex"], inner["address"], inner["mtu"]) == (
        made.peer,
        "02:00:00:00:00:02",
        1400,
    )
    assert (other.name, other.mac, other.mtu) == ("eth0", "02:00:00:00:00:02", 1400)
    link.delete(nl, made.index)
    link.delete(nl, master.index)
    assert list(container.links()) == ["lo"]


def test_without_an_echo_the_new_link_is_looked_up(
    host: Host, nl: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on kernels before 6.2."""
    monkeypatch.setattr(link, "NLM_F_ECHO", 0)
    made = link.create(nl, "old", "bridge", mac="02:00:00:00:00:05")
    assert (made.name, made.kind, made.mac) == ("old", "bridge", "02:00:00:00:00:05")
    link.delete(nl, made.index)


def test_a_name_that_is_taken(host: Host, nl: Netlink) -> None:
    made = bridge.create(nl, "cni0")
    with pytest.raises(NetlinkError, match="cannot create the bridge interface cni0") as caught:
        bridge.create(nl, "cni0")
    assert caught.value.errno == errno.EEXIST
    link.delete(nl, made.index)


def test_a_name_that_is_taken_in_the_container_leaves_nothing(
    host: Host, container: Namespace, nl: Netlink
) -> None:
    container.ip("link", "add", "eth0", "type", "bridge")
    with container.open() as inside, pytest.raises(NetlinkError) as caught:
        link.create_veth(nl, "veth0", "eth0", peer_netns_fd=inside.fileno())
    assert caught.value.errno == errno.EEXIST
    assert list(host.links()) == ["lo"]
    container.ip("link", "del", "eth0")


def test_find(host: Host, nl: Netlink) -> None:
    assert link.find(nl, "cni0") is None
    with pytest.raises(NetlinkError, match="cannot find the interface cni0: No such device"):
        link.get(nl, "cni0")
    assert link.find(nl, "a-name-that-no-link-can-have") is None
    with pytest.raises(NetlinkError, match="cannot find interface 4711"):
        link.by_index(nl, 4711)
    made = bridge.create(nl, "cni0")
    host.ip("link", "property", "add", "dev", "cni0", "altname", "the-bridge-of-all-pods")
    found = link.get(nl, "the-bridge-of-all-pods")
    assert (found.index, found.name) == (made.index, "cni0")
    assert found.altnames == ["the-bridge-of-all-pods"]
    link.delete(nl, made.index)


def test_dump_by_kind_and_master(host: Host, nl: Netlink) -> None:
    assert link.dump(nl, kind="veth") == []
    one = bridge.create(nl, "one").index
    two = bridge.create(nl, "two").index
    port = link.create_veth(nl, "port", "end", master=one)
    assert {found.name for found in link.dump(nl)} == {"lo", "one", "two", "port", "end"}
    assert [found.name for found in link.dump(nl, master=one)] == ["port"]
    assert link.dump(nl, master=two) == []
    assert {found.name for found in link.dump(nl, kind="bridge")} == {"one", "two"}
    assert {found.name for found in link.dump(nl, kind="veth")} == {"port", "end"}
    for index in (port.index, one, two):
        link.delete(nl, index)


def test_change_everything_and_back(host: Host, nl: Netlink) -> None:
    master = bridge.create(nl, "cni0").index
    index = link.create_veth(nl, "v0", "v1").index
    link.change(
        nl,
        index,
        up=True,
        promisc=True,
        mtu=1300,
        mac="02:00:00:00:00:09",
        master=master,
        alias="für alle",
    )
    seen = host.links()["v0"]
    assert {"UP", "PROMISC"} <= set(seen["flags"])
    assert (seen["mtu"], seen["address"], seen["master"], seen["ifalias"]) == (
        1300,
        "02:00:00:00:00:09",
        "cni0",
        "für alle",
    )
    ours = link.get(nl, "v0")
    assert (ours.up, ours.promisc, ours.mtu, ours.mac, ours.master, ours.alias) == (
        True,
        True,
        1300,
        "02:00:00:00:00:09",
        master,
        "für alle",
    )
    link.change(nl, index, up=False, promisc=False, master=0, alias="", name="w0")
    back = link.by_index(nl, index)
    assert (back.name, back.up, back.promisc, back.master, back.alias) == (
        "w0",
        False,
        False,
        0,
        "",
    )
    link.delete(nl, index)
    link.delete(nl, master)


def test_up_down_carrier(host: Host, nl: Netlink) -> None:
    one = link.create_veth(nl, "v0", "v1")
    link.set_up(nl, one.index)
    assert link.get(nl, "v0").up
    assert not link.get(nl, "v0").carrier
    link.set_up(nl, one.peer)
    assert link.get(nl, "v0").carrier
    link.set_down(nl, one.index)
    assert not link.get(nl, "v0").up
    link.delete(nl, one.index)


def test_move_and_rename_in_one(host: Host, container: Namespace, nl: Netlink) -> None:
    index = link.create_veth(nl, "v0", "v1").index
    with container.open() as inside:
        link.change(nl, index, netns_fd=inside.fileno(), name="eth7")
    assert list(container.links()) == ["lo", "eth7"]
    link.delete(nl, link.get(nl, "v1").index)


def test_delete_is_repeatable_when_asked(host: Host, nl: Netlink) -> None:
    index = bridge.create(nl, "cni0").index
    assert link.delete(nl, index, missing_ok=True)
    assert not link.delete(nl, index, missing_ok=True)
    with pytest.raises(NetlinkError) as caught:
        link.delete(nl, index)
    assert caught.value.errno == errno.ENODEV


def test_the_bridges_mac_stays_while_ports_come_and_go(host: Host, nl: Netlink) -> None:
    made = bridge.create(nl, "cni0", up=True)
    first = int(made.mac[:2], 16)
    assert first & 3 == 2, "locally administered and unicast"
    # The lowest address of all, which a bridge without one of its own would take over.
    port = link.create_veth(nl, "v0", "v1", mac="00:00:00:00:00:01", master=made.index)
    link.set_up(nl, port.index)
    assert link.get(nl, "cni0").mac == made.mac
    link.delete(nl, port.index)
    assert link.get(nl, "cni0").mac == made.mac
    link.delete(nl, made.index)


def test_switches_of_a_port(host: Host, nl: Netlink) -> None:
    master = bridge.create(nl, "cni0").index
    port = link.create_veth(nl, "v0", "v1", master=master)
    assert bridge.switches(link.get(nl, "cni0")) == {}
    assert bridge.switches(link.get(nl, "v0")) == {
        "hairpin": False,
        "isolated": False,
        "learning": True,
        "flood": True,
        "neigh_suppress": False,
    }
    wanted = bridge.port(hairpin=True, isolated=True, flood=False, neigh_suppress=True)
    link.change(nl, port.index, up=True, port=wanted)
    found = link.get(nl, "v0")
    assert found.up
    assert bridge.switches(found) == {
        "hairpin": True,
        "isolated": True,
        "learning": True,
        "flood": False,
        "neigh_suppress": True,
    }
    link.change(nl, port.index, port=bridge.port(hairpin=False))
    assert not bridge.switches(link.get(nl, "v0"))["hairpin"]
    assert bridge.switches(link.get(nl, "v0"))["isolated"]
    link.delete(nl, port.index)
    link.delete(nl, master)


@pytest.mark.parametrize("mac", ["", "02:00:00:00:00", "02:00:00:00:00:00:01", "zz:00:00:00:00:01"])
def test_what_is_no_mac(mac: str) -> None:
    with pytest.raises(ValueError, match=r"hardware address|hexadecimal"):
        link.mac_bytes(mac)


def test_random_macs() -> None:
    macs = {link.random_mac() for _ in range(50)}
    assert len(macs) == 50
    assert all(link.mac_bytes(mac)[0] & 3 == 2 for mac in macs)
