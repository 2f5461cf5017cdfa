"""`tuning` on a real kernel: what ADD sets, DEL gives back, CHECK finds and GC removes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, INVALID_CONFIG, IO_FAILURE, NOT_AVAILABLE, SYSTEM
from tests.kit import sweep
from tests.kit.calls import Document, PluginError
from tests.kit.host import Host
from tests.kit.namespace import MNT_DETACH, MS_BIND, Namespace, libc, mount
from tests.kit.versions import each_version, versions_since
from tests.tuning.conftest import MAC, Tuned

MS_RDONLY = 1
MS_REMOUNT = 32

ALL: Document = {
    "sysctl": {"net.core.somaxconn": "512", "net.ipv4.conf.IFNAME.arp_filter": "1"},
    "mac": MAC,
    "mtu": 1400,
    "promisc": True,
    "allmulti": True,
    "txQLen": 77,
}
SOMAXCONN = "net.core.somaxconn"
SET = {key: ALL[key] for key in ("mac", "mtu", "promisc", "allmulti", "txQLen")}


@each_version
def test_add_and_delete(version: str, tuned: Tuned) -> None:
    asked = tuned.config(cniVersion=version, **ALL)
    if version in ("0.1.0", "0.2.0"):
        asked["prevResult"] = {"ip4": {"ip": "10.1.0.2/24"}, "dns": {}}
    else:
        asked["prevResult"] = {**tuned.result("10.1.0.2/24"), "cniVersion": version}
    result = tuned.add(asked)
    assert tuned.attributes() == SET
    assert tuned.sysctl("net.core.somaxconn") == "512"
    assert tuned.sysctl("net.ipv4.conf.eth0.arp_filter") == "1"
    if version in ("0.1.0", "0.2.0"):
        assert result == {"cniVersion": version, **asked["prevResult"]}
    else:
        port, inside, namesake = result["interfaces"]
        assert (port["name"], inside["mac"], namesake["mac"]) == ("port0", MAC, "02:00:00:00:00:01")
        assert inside.get("mtu") == (1400 if version >= "1.0.0" else None)
        assert result["ips"][0]["address"] == "10.1.0.2/24"
    tuned.delete(asked)
    assert tuned.attributes() == tuned.before
    assert not tuned.backups
    tuned.delete(asked)


@pytest.mark.parametrize("version", versions_since("0.4.0"))
def test_check_in_every_version_that_has_it(version: str, tuned: Tuned) -> None:
    asked = tuned.config(**ALL)
    result = tuned.add(asked)
    asked["prevResult"] = {**result, "cniVersion": version}
    tuned.check({**asked, "cniVersion": version})
    tuned.delete(asked)


MUTATIONS = [
    ("sysctl -qw net.core.somaxconn=4096", 'net/core/somaxconn is "4096", expected "512"'),
    ("sysctl -qw net.ipv4.conf.eth0.arp_filter=0", 'eth0/arp_filter is "0", expected "1"'),
    ("ip link set eth0 address 02:00:00:00:00:99", "has the MAC 02:00:00:00:00:99, expected"),
    ("ip link set eth0 mtu 1399", "has the MTU 1399, expected 1400"),
    ("ip link set eth0 promisc off", "not in promiscuous mode, and promisc is true"),
    ("ip link set eth0 allmulticast off", "not in all-multicast mode, and allmulti is true"),
    ("ip link set eth0 txqueuelen 78", "a transmit queue of 78 packets, expected 77"),
    ("ip link set eth0 name eth9", "interface eth0 does not exist"),
]


def test_check_names_each_mutation(tuned: Tuned) -> None:
    asked = tuned.config(**ALL)
    result = tuned.add(asked)
    for command, words in MUTATIONS:
        tuned.check({**asked, "prevResult": result})
        tuned.ns.command("ip", "link", "set", "eth0", "down")
        tuned.ns.command(*command.split())
        with pytest.raises(PluginError) as caught:
            tuned.check({**asked, "prevResult": result})
        assert caught.value.code == CHECK_FAILED
        assert words in caught.value.msg
        if "name" not in command:
            assert caught.value.msg.count("expected") + caught.value.msg.count("not in") == 1
            tuned.add(asked)
    tuned.delete(asked)  # the renamed one is gone as far as the call goes
    assert not tuned.backups


def test_check_takes_the_kernels_way_of_writing(tuned: Tuned) -> None:
    sysctls = {
        "net.core.somaxconn": "0x200",
        "net.ipv4.ip_local_reserved_ports": "8082,8080,8081,9000-9002,9003",
        "net.ipv4.ip_local_port_range": "20000   30000",
        "net.ipv4.route.flush": "1",  # can only be written
    }
    asked = tuned.config(sysctl=sysctls)
    tuned.add(asked)
    assert tuned.sysctl("net.ipv4.ip_local_reserved_ports") == "8080-8082,9000-9003"
    tuned.check(asked)
    for key, value in (
        ("net.ipv4.ip_local_reserved_ports", "8080-8083,9000-9003"),
        ("net.core.somaxconn", "513"),
        ("net.ipv4.ip_local_port_range", "20000 30001"),
    ):
        with pytest.raises(PluginError, match="expected"):
            tuned.check(tuned.config(sysctl={**sysctls, key: value}))
    tuned.delete(asked)


def test_check_and_add_need_the_previous_result(tuned: Tuned) -> None:
    for verb in ("ADD", "CHECK"):
        with pytest.raises(PluginError, match='key "prevResult"') as caught:
            tuned.runtime.call(verb, tuned.config(prevResult=None), netns=tuned.ns)
        assert caught.value.code == INVALID_CONFIG


def test_nothing_to_do(tuned: Tuned) -> None:
    nothing: list[Document] = [{}, {"sysctl": {}}, {"promisc": False, "mtu": 0, "mac": ""}]
    for keys in nothing:
        asked = tuned.config(**keys)
        assert tuned.add(asked) == asked["prevResult"]
        tuned.check(asked)
        assert not tuned.backups
        tuned.delete(asked)
    assert tuned.attributes() == tuned.before


def test_off_and_zero_count(tuned: Tuned) -> None:
    tuned.ns.command("ip", "link", "set", "eth0", "allmulticast", "on")
    asked = tuned.config(allmulti=False, txQLen=0)
    tuned.add(asked)
    assert tuned.attributes() == {**tuned.before, "allmulti": False, "txQLen": 0}
    tuned.check(asked)
    tuned.delete(asked)
    assert tuned.attributes() == {**tuned.before, "allmulti": True}


ARGUMENTS: list[tuple[Document, str, Document]] = [
    ({"mac": MAC}, "MAC=02:00:00:00:00:02", {"mac": "02:00:00:00:00:02"}),
    (
        {"mac": MAC, "runtimeConfig": {"mac": "02:00:00:00:00:03"}},
        "MAC=02:00:00:00:00:02",
        {"mac": "02:00:00:00:00:03"},
    ),
    (
        {
            "runtimeConfig": {"Mac": "02:00:00:00:00:03"},
            "args": {"cni": {"mac": "02-00-00-00-00-0A"}},
        },
        "MAC=02:00:00:00:00:02",
        {"mac": "02:00:00:00:00:0a"},
    ),
    ({"mtu": 1400, "args": {"cni": {"mtu": 1300}}}, "", {"mtu": 1300}),
    ({"mtu": 1400, "args": {"cni": {"mtu": 0}}}, "", {}),
    ({"promisc": True, "args": {"cni": {"promisc": False}}}, "", {}),
    ({"args": {"cni": {"promisc": True, "allmulti": True}}}, "", {"promisc": 1, "allmulti": 1}),
    ({"allmulti": True, "args": {"cni": {"allmulti": False}}}, "", {"allmulti": False}),
    ({"txQLen": 5, "args": {"cni": {"txQLen": 6}}}, "", {"txQLen": 6}),
    ({"TXQLEN": 5, "Mtu": 1400}, "", {"txQLen": 5, "mtu": 1400}),
]


@pytest.mark.parametrize(("keys", "args", "expected"), ARGUMENTS)
def test_what_goes_before_what(keys: Document, args: str, expected: Document, tuned: Tuned) -> None:
    asked = tuned.config(**keys)
    tuned.add(asked, args=args)
    assert tuned.attributes() == {**tuned.before, **expected}
    tuned.check(asked, args=args)
    tuned.delete(asked, args=args)
    assert tuned.attributes() == tuned.before


def test_sysctls_of_args_go_over_those_of_the_config(tuned: Tuned) -> None:
    asked = tuned.config(
        sysctl={"net.core.somaxconn": "512", "net.ipv4.tcp_syncookies": "0"},
        args={
            "cni": {"sysctl": {"net/core/somaxconn": "600", "net.ipv4.conf.all.log_martians": "1"}}
        },
    )
    tuned.add(asked)
    tuned.check(asked)
    assert tuned.sysctl("net.core.somaxconn") == "600"
    assert tuned.sysctl("net.ipv4.tcp_syncookies") == "0"
    assert tuned.sysctl("net.ipv4.conf.all.log_martians") == "1"
    tuned.delete(asked)


def test_interfaces_with_a_dot(tuned: Tuned) -> None:
    for one in ("down", "name eth0.5", "up"):
        tuned.ns.command("ip", "link", "set", "eth0.5" if one == "up" else "eth0", *one.split())
    asked = tuned.config(
        sysctl={
            "net.ipv4.conf.IFNAME.arp_filter": "1",
            "net/ipv4/conf/eth0.5/log_martians": "1",
        }
    )
    tuned.add(asked, ifname="eth0.5")
    tuned.check(asked, ifname="eth0.5")
    assert tuned.sysctl("net/ipv4/conf/eth0.5/arp_filter") == "1"
    assert tuned.sysctl("net/ipv4/conf/eth0.5/log_martians") == "1"
    tuned.delete(asked, ifname="eth0.5")


def test_a_new_mac_is_announced(tuned: Tuned) -> None:
    tuned.host.command("ip", "address", "add", "10.1.0.1/24", "dev", "port0")
    tuned.host.wait_ready("port0")
    neighbour = ("ip", "neighbour", "replace", "10.1.0.2", "dev", "port0", "nud", "stale")
    tuned.host.command(*neighbour, "lladdr", tuned.before["mac"])
    asked = tuned.config(mac=MAC)
    tuned.add(asked)
    found = tuned.host.ip("neighbour", "show", "10.1.0.2")
    assert found[0]["lladdr"] == MAC
    tuned.delete(asked)


# ---- failures ----------------------------------------------------------------------------------


REFUSED: list[tuple[Document, str, int]] = [
    ({"sysctl": {"net.core.nonsense": "1"}}, "net/core/nonsense", SYSTEM),
    ({"sysctl": {"net.core.somaxconn": "x"}}, 'key "sysctl.net.core.somaxconn"', INVALID_CONFIG),
    ({"sysctl": {"net.ipv4.conf.eth7.arp_filter": "1"}}, "conf/eth7/arp_filter", SYSTEM),
]


@pytest.mark.parametrize(("keys", "words", "code"), REFUSED)
def test_a_failed_add_leaves_nothing(keys: Document, words: str, code: int, tuned: Tuned) -> None:
    keys = {**ALL, "sysctl": {**ALL["sysctl"], **keys["sysctl"]}}
    filters = tuned.sysctl("net.ipv4.conf.eth0.arp_filter"), tuned.sysctl("net.core.somaxconn")
    with pytest.raises(PluginError) as caught:
        tuned.add(tuned.config(**keys))
    assert caught.value.code == code
    assert words in caught.value.msg
    assert tuned.attributes() == tuned.before
    assert not tuned.backups
    assert filters == (
        tuned.sysctl("net.ipv4.conf.eth0.arp_filter"),
        tuned.sysctl("net.core.somaxconn"),
    )


def test_an_attribute_the_interface_does_not_take(tuned: Tuned) -> None:
    below = ("vxlan", "id", "7", "dstport", "4789", "dev", "eth0")
    tuned.ns.command("ip", "link", "add", "v0", "address", "02:00:00:00:00:05", "type", *below)
    somaxconn = tuned.sysctl("net.core.somaxconn")
    with pytest.raises(PluginError, match='key "mtu": interface v0 does not take it') as caught:
        tuned.add(tuned.config(mac=MAC, mtu=1490, sysctl=ALL["sysctl"]), ifname="v0")
    assert caught.value.code == SYSTEM
    assert tuned.ns.links()["v0"]["address"] == "02:00:00:00:00:05"
    assert tuned.sysctl("net.core.somaxconn") == somaxconn
    assert not tuned.backups
    tuned.ns.command("ip", "link", "delete", "v0")


def test_whatever_goes_wrong_once(tuned: Tuned) -> None:
    asked = tuned.config(**ALL)

    def state() -> tuple[Document, str, str, list[Path]]:
        switch = "net.ipv4.conf.eth0.arp_filter"
        return tuned.attributes(), tuned.sysctl(switch), tuned.sysctl(SOMAXCONN), tuned.backups

    def reset(*values: str) -> None:
        for name, value in zip((SOMAXCONN, "net.ipv4.conf.eth0.arp_filter"), values, strict=True):
            tuned.ns.command("sysctl", "-qw", f"{name}={value}")

    def delete() -> None:
        tuned.delete(asked)
        reset(somaxconn, "0")

    def finish() -> None:
        tuned.check(asked)
        delete()

    somaxconn = tuned.sysctl(SOMAXCONN)
    assert sweep.add(lambda: tuned.add(asked), finish, state) > 5
    sweep.delete(lambda: tuned.add(asked), delete, state)
    sweep.killed(lambda: None, lambda: tuned.add(asked), delete, state)
    sweep.killed(lambda: tuned.add(asked), delete, delete, state)


OF_ALL = [
    ("net.ipv6.conf.all.disable_ipv6", "0", "net.ipv6.conf.eth0.disable_ipv6"),
    ("net.ipv6.conf.all.forwarding", "1", "net.ipv6.conf.eth0.forwarding"),
    ("net.ipv4.conf.all.forwarding", "1", "net.ipv4.conf.eth0.forwarding"),
]


@pytest.mark.parametrize(("of_all", "value", "of_one"), OF_ALL)
def test_what_is_handed_on_is_handed_on_although_it_reads_so_already(
    of_all: str, value: str, of_one: str, tuned: Tuned
) -> None:
    handed_on = "ipv6" in of_all  # IPv4's the kernel hands on only where the value is another
    other = "1" if value == "0" else "0"
    tuned.ns.command("sysctl", "-qw", f"{of_all}={value}")
    tuned.ns.command("sysctl", "-qw", f"{of_one}={other}")
    tuned.add(tuned.config(sysctl={of_all: value}))
    assert tuned.sysctl(of_all) == value
    assert tuned.sysctl(of_one) == (value if handed_on else other)


@pytest.mark.parametrize(
    ("of_all", "value", "of_one"),
    [*OF_ALL, ("net.ipv4.ip_forward", "1", "net.ipv4.conf.eth0.forwarding")],
)
def test_a_failed_add_undoes_what_was_handed_on(
    of_all: str, value: str, of_one: str, tuned: Tuned
) -> None:
    names = of_all, of_one, of_one.replace("eth0", "lo"), of_one.replace("eth0", "default")
    other = "1" if value == "0" else "0"
    tuned.ns.command("sysctl", "-qw", f"{of_all}={other}")
    tuned.ns.command("sysctl", "-qw", f"{names[2]}={value}")
    before = [tuned.sysctl(name) for name in names]
    assert before[:3] == [other, other, value]
    with pytest.raises(PluginError):
        tuned.add(tuned.config(sysctl={of_all: value, "net.core.somaxconn": "x"}))
    assert [tuned.sysctl(name) for name in names] == before


@pytest.mark.parametrize("name", [SOMAXCONN, "net.ipv4.conf.all.log_martians"])
def test_what_is_right_need_not_be_writable(name: str, tuned: Tuned) -> None:
    before = tuned.sysctl(name)
    mount("/proc/sys", Path("/proc/sys"), "none", MS_BIND)
    mount("none", Path("/proc/sys"), "none", MS_BIND | MS_REMOUNT | MS_RDONLY)
    try:
        tuned.add(tuned.config(sysctl={name: before}))
        with pytest.raises(PluginError, match="mounted read-only") as caught:
            tuned.add(tuned.config(sysctl={name: "77"}))
    finally:
        libc("umount2", b"/proc/sys", MNT_DETACH)
    assert caught.value.code == SYSTEM


def test_an_interface_that_is_not_there(tuned: Tuned) -> None:
    for keys in ({"mtu": 1400}, {"sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}}):
        with pytest.raises(PluginError, match="eth5") as caught:
            tuned.add(tuned.config(**keys), ifname="eth5")
        assert caught.value.code == SYSTEM


def test_a_directory_that_is_none(tuned: Tuned, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    asked = tuned.config(**ALL, dataDir=str(tmp_path / "file" / "below"))
    with pytest.raises(PluginError, match='key "dataDir"') as caught:
        tuned.add(asked)
    assert caught.value.code == IO_FAILURE
    assert tuned.attributes() == tuned.before
    assert tuned.sysctl("net.core.somaxconn") != "512"
    tuned.delete(asked)
    with pytest.raises(PluginError, match='key "dataDir"') as caught:
        tuned.runtime.status(asked)
    assert caught.value.code == NOT_AVAILABLE


def test_mtu_too_small_for_ipv6(tuned: Tuned) -> None:
    with pytest.raises(PluginError, match="at least 1280 with IPv6") as caught:
        tuned.add(tuned.config(mtu=1279))
    assert caught.value.code == INVALID_CONFIG
    asked = tuned.config(mtu=1279, prevResult=tuned.result("10.1.0.2/24"))
    tuned.add(asked)
    tuned.delete(asked)


# ---- what outlives what ------------------------------------------------------------------------


def test_delete_without_a_namespace_before_add_and_after_the_interface(tuned: Tuned) -> None:
    asked = tuned.config(**ALL)
    tuned.delete(asked)
    tuned.delete(asked, netns="")
    tuned.add(asked)
    tuned.delete(asked, netns="")
    assert not tuned.backups
    tuned.add(asked)
    tuned.delete(asked, netns="/run/netns/nowhere")
    assert not tuned.backups
    tuned.add(asked)
    tuned.ns.command("ip", "link", "set", "eth0", "down")
    tuned.ns.command("ip", "link", "set", "eth0", "name", "eth1")
    tuned.delete(asked)
    assert not tuned.backups


def test_delete_whatever_became_of_the_config(tuned: Tuned) -> None:
    tuned.add(tuned.config(**ALL))
    wrong = {"mac": 5, "mtu": "x", "sysctl": [], "prevResult": 7}
    tuned.delete(tuned.config(**wrong))
    assert tuned.attributes() == tuned.before
    assert not tuned.backups
    tuned.delete(tuned.config(dataDir=5))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"mac": 5, "mtu": "x", "promisc": 1, "txQLen": -1}', "\0"]
)
def test_a_spoiled_backup(content: str, tuned: Tuned) -> None:
    asked = tuned.config(mtu=1400)
    tuned.add(asked)
    (backup,) = tuned.backups
    backup.write_text(content)
    tuned.add(asked)
    tuned.delete(asked)
    assert not tuned.backups
    backup.write_text(content)
    tuned.delete(asked)
    assert not tuned.backups


def test_what_an_add_that_was_killed_leaves(tuned: Tuned) -> None:
    asked = tuned.config(**ALL)
    unfinished = tuned.host.state / "c1_eth0.json.new"
    unfinished.write_text('{"mtu"')
    tuned.delete(asked)
    assert not tuned.backups
    unfinished.write_text('{"mtu"')
    tuned.add(asked)
    tuned.delete(asked)
    assert tuned.attributes() == tuned.before


@pytest.mark.parametrize("text", ["", '{"mtu"', '{"network":"net","mtu":1500}'])
def test_gc_removes_what_an_add_that_was_killed_leaves(text: str, tuned: Tuned) -> None:
    (tuned.host.state / "c1_eth0.json.new").write_text(text)
    kept = tuned.host.state / "c2_eth0.json.new"
    kept.write_text('{"network":"other"}')
    tuned.runtime.gc(tuned.config(**ALL), [])
    assert tuned.backups == [kept]
    kept.unlink()


def test_a_second_tuning_in_the_chain_keeps_the_first_ones_backup(tuned: Tuned) -> None:
    first, second = tuned.config(mtu=1400, txQLen=9), tuned.config(mtu=1300, mac=MAC)
    result = tuned.add(first)
    tuned.add({**second, "prevResult": result})
    assert tuned.attributes() == {**tuned.before, "mtu": 1300, "mac": MAC, "txQLen": 9}
    tuned.delete(second)
    tuned.delete(first)
    assert tuned.attributes() == tuned.before


def test_a_backup_of_a_former_interface_is_not_used(tuned: Tuned) -> None:
    asked = tuned.config(mtu=1400)
    tuned.add(asked)
    (backup,) = tuned.backups
    former = {**json.loads(backup.read_text()), "link": "1/1", "mtu": 1234, "txQLen": 3}
    tuned.ns.command("ip", "link", "set", "eth0", "mtu", "1450")
    backup.write_text(json.dumps(former))
    tuned.add(asked)
    tuned.delete(asked)
    assert tuned.attributes() == {**tuned.before, "mtu": 1450}


def test_a_failed_add_leaves_an_older_backup(tuned: Tuned) -> None:
    asked = tuned.config(mtu=1400)
    tuned.add(asked)
    held = [json.loads(one.read_text()) for one in tuned.backups]
    with pytest.raises(PluginError, match="net/core/nonsense"):
        tuned.add(tuned.config(mac=MAC, sysctl={"net.core.nonsense": "1"}))
    assert [json.loads(one.read_text()) for one in tuned.backups] == held
    tuned.delete(asked)
    assert tuned.attributes() == tuned.before


def test_gc_removes_what_is_not_valid(tuned: Tuned) -> None:
    asked = tuned.config(mtu=1400)
    other = tuned.config(mtu=1300, name="other")
    tuned.add(asked)
    tuned.add({**asked, "txQLen": 7}, container="c2")
    tuned.add(other, container="c3")
    foreign = tuned.host.state / "c9_eth0.json"
    foreign.write_text('{"mtu": 1500}')
    (tuned.host.state / "directory.json").mkdir()
    tuned.runtime.gc(asked, [("c1", "eth0"), ("c1", "eth1")])
    names = [one.name for one in tuned.backups]
    assert names == ["c1_eth0.json", "c3_eth0.json", "c9_eth0.json", "directory.json"]
    tuned.runtime.gc(asked, [])
    assert [one.name for one in tuned.backups] == names[1:]
    tuned.runtime.gc(tuned.config(dataDir="/nowhere"), [])
    foreign.unlink()
    (tuned.host.state / "directory.json").rmdir()
    tuned.runtime.gc(other, [])
    assert not tuned.backups


def test_status(tuned: Tuned) -> None:
    tuned.runtime.status(tuned.config(**ALL))
    tuned.runtime.status(tuned.config(**ALL, dataDir="/run/cni/not/there/yet"))
    with pytest.raises(PluginError, match='key "mtu"') as caught:
        tuned.runtime.status(tuned.config(mtu=3))
    assert caught.value.code == NOT_AVAILABLE


# ---- with the reference ------------------------------------------------------------------------


def test_each_undoes_the_others_work(tuned: Tuned, host: Host) -> None:
    keys = {key: SET[key] for key in ("mac", "mtu", "promisc", "allmulti")}  # its 1.1.1 has those
    asked = tuned.config(**keys)
    tuned.add(asked)
    tuned.reference("DEL", asked)
    assert tuned.attributes() == tuned.before
    assert not tuned.backups
    asked["prevResult"]["cniVersion"] = "1.0.0"
    told = tuned.reference("ADD", asked)
    assert told
    assert tuned.attributes() == {**tuned.before, **keys}
    tuned.check({**asked, "prevResult": told})
    tuned.delete(asked)
    assert tuned.attributes() == tuned.before
    assert not tuned.backups


def test_the_default_directory(tuned: Tuned, container: Namespace) -> None:
    asked = tuned.config(mtu=1400)
    del asked["dataDir"]
    tuned.add(asked)
    assert os.listdir("/run/cni/tuning") == ["c1_eth0.json"]
    assert Path("/run/cni/tuning/c1_eth0.json").stat().st_mode & 0o777 == 0o600
    tuned.delete(asked)
    Path("/run/cni/tuning").rmdir()


def test_through_bridge(tuned: Tuned, host: Host) -> None:
    host.share_bridge("cni0")
    ns = host.container()
    how: dict[str, Any] = {"netns": ns, "container": "c5", "args": f"MAC={MAC}"}
    bridge = {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "bridge",
        "isGateway": True,
        "ipam": {"type": "static", "addresses": [{"address": "10.9.0.2/24"}]},
    }
    tuning = tuned.config(**ALL)
    first = tuned.runtime.add(bridge, **how)
    second = tuned.runtime.add({**tuning, "prevResult": first}, **how)
    tuned.runtime.check(bridge, second, **how)
    tuned.runtime.check(tuning, second, **how)
    tuned.runtime.delete(tuning, **how)
    tuned.runtime.delete(bridge, **how)
    host.command("ip", "link", "delete", "cni0")
