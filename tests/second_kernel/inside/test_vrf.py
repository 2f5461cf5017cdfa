"""`vrf`, on a kernel that has it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, IN_THE_WAY, SYSTEM
from hostnet import address, link, route
from tests.kit import sweep
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.versions import SPEC_VERSIONS, versions_since

CONFIG: Document = {"cniVersion": "1.1.0", "name": "net", "type": "vrf", "vrfname": "blue"}
BRIDGE: Document = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "bridge",
    "isGateway": True,
    "ipam": {
        "type": "static",
        "addresses": [
            {"address": "10.1.0.2/24", "gateway": "10.1.0.1"},
            {"address": "fd00:1::2/64", "gateway": "fd00:1::1"},
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "10.5.0.0/16", "mtu": 1300}],
    },
}


class Attached:
    """A container on a bridge, and the calls for it."""

    def __init__(self, host: Host, runtime: Runtime, container: Namespace) -> None:
        self.host = host
        self.runtime = runtime
        self.ns = container
        self.first = runtime.add(BRIDGE, netns=container)
        self.results: list[Document] = []

    def again(self) -> None:
        """Detach the container, and attach it."""
        self.runtime.delete(BRIDGE, netns=self.ns)
        self.first = self.runtime.add(BRIDGE, netns=self.ns)

    def finish(self) -> None:
        """CHECK and DEL of an ADD that succeeded."""
        self.check(self.results.pop())
        self.delete(self.config())
        self.again()

    def state(self) -> tuple[set[str], set[str], set[str]]:
        """Links, routes and addresses, asked for without a process."""
        with self.ns.open() as ns, ns.netlink() as nl:
            links = link.dump(nl)
            inner = next(one.index for one in links if one.name == "eth0")
            return (
                {one.name for one in links},
                {
                    f"{one.destination} {one.gateway} {one.table}"
                    for family in (route.AF_INET, route.AF_INET6)
                    for one in route.dump(nl, family, table=0, oif=inner)
                    if one.protocol != route.RTPROT_KERNEL
                },
                {str(one.interface) for one in address.dump(nl, index=inner) if one.scope == 0},
            )

    def config(self, **keys: Any) -> Document:
        return {**CONFIG, "prevResult": self.first, **keys}

    def add(self, config: Document, **how: Any) -> Document:
        return self.runtime.add(config, **{"netns": self.ns, **how})

    def check(self, result: Document, **keys: Any) -> None:
        self.runtime.check(self.config(**keys), result, netns=self.ns)

    def delete(self, config: Document, **how: Any) -> None:
        self.runtime.delete(config, **{"netns": self.ns, **how})

    def table(self, name: str = "blue") -> int:
        found: int = self.ns.links()[name]["linkinfo"]["info_data"]["table"]
        return found

    def routes(self, table: str) -> list[str]:
        found: list[str] = []
        for family in ("-4", "-6"):
            listed = self.ns.command(
                *("ip", family, "route", "show", "table", table), check=False
            ).stdout
            lines = (" ".join(line.split()) for line in listed.splitlines())
            hidden = ("fe80::", "ff00::", "local ", "broadcast ", "anycast ", "multicast ")
            found += (line for line in lines if not line.startswith(hidden))
        return sorted(found)

    def close(self) -> None:
        self.runtime.delete(BRIDGE, netns=self.ns)
        self.host.command("ip", "link", "delete", "cni0")


@pytest.fixture
def attached(runtime: Runtime, host: Host, container: Namespace) -> Iterator[Attached]:
    # The kernel's rule for VRFs comes with the first one, and stays; routes too for a moment.
    host.share('rule {*"l3mdev"*', 'rule {"priority": 1000,*')
    made = Attached(host, runtime, container)
    yield made
    made.close()


def test_every_version(attached: Attached) -> None:
    for version in SPEC_VERSIONS:
        previous: Document = {**attached.first, "cniVersion": version}
        if version in ("0.1.0", "0.2.0"):
            previous = {"ip4": {"ip": "10.1.0.2/24"}, "ip6": {"ip": "fd00:1::2/64"}, "dns": {}}
        asked = attached.config(cniVersion=version, prevResult=previous)
        result = attached.add(asked)
        assert attached.ns.links()["eth0"]["master"] == "blue"
        if version in ("0.1.0", "0.2.0"):
            assert result == {"cniVersion": version, **previous}
        else:
            assert {one["table"] for one in result["routes"]} == {attached.table()}
            assert [one["name"] for one in result["interfaces"]] == [
                one["name"] for one in previous["interfaces"]
            ]
        if version in versions_since("0.4.0"):
            attached.check(result, cniVersion=version)
        attached.delete(asked)
        assert "blue" not in attached.ns.links()
        attached.delete(asked)
        # As with the reference, what DEL lets go has lost its routes.
        attached.again()


def test_addresses_and_routes_come_along(attached: Attached) -> None:
    before = attached.routes("main")
    assert "10.5.0.0/16 via 10.1.0.1 dev eth0 mtu 1300" in before
    result = attached.add(attached.config())
    assert attached.table() == 1
    assert sorted(attached.ns.addresses("eth0")) == ["10.1.0.2/24", "fd00:1::2/64"]
    assert attached.routes("1") == before
    assert attached.routes("main") == []
    attached.check(result)
    attached.runtime.check(BRIDGE, result, netns=attached.ns)
    reached = attached.ns.command(
        *("ip", "vrf", "exec", "blue", "ping", "-c1", "-W2", "10.1.0.1"), check=False
    )
    bound = attached.ns.command("ping", "-c1", "-W2", "-I", "blue", "10.1.0.1", check=False)
    assert 0 in (reached.returncode, bound.returncode), bound.stderr
    attached.delete(attached.config())


def test_an_interface_that_is_down_keeps_its_addresses(attached: Attached) -> None:
    """Also where `keep_addr_on_down` is not set, which an interface of others may lack."""
    ns = attached.ns
    ns.command("sysctl", "-qw", "net.ipv6.conf.eth0.keep_addr_on_down=0")
    ns.command("ip", "link", "set", "eth0", "down")
    ns.command("ip", "address", "add", "fd00:1::2/64", "dev", "eth0", "nodad")
    attached.add(attached.config())
    assert attached.ns.links()["eth0"]["master"] == "blue"
    assert sorted(ns.addresses("eth0")) == ["10.1.0.2/24", "fd00:1::2/64"]
    assert "UP" not in ns.links()["eth0"]["flags"]
    attached.delete(attached.config())
    attached.again()


def test_a_default_route_that_another_interface_has_too(attached: Attached) -> None:
    """IPv6 makes one route of two ways of them: ours goes along, the other stays."""
    ns = attached.ns
    ns.command("ip", "link", "add", "eth1", "type", "dummy")
    ns.command("ip", "link", "set", "eth1", "up")
    ns.command("ip", "address", "add", "fd00:2::2/64", "dev", "eth1", "nodad")
    ns.command("ip", "-6", "route", "append", "default", "via", "fd00:2::1", "dev", "eth1")
    before = " ".join(attached.routes("main"))
    assert "nexthop via fd00:1::1" in before
    assert "nexthop via fd00:2::1" in before
    result = attached.add(attached.config())
    ours = [one for one in attached.routes("1") if one.startswith("default via fd00")]
    assert [one.split()[:5] for one in ours] == [["default", "via", "fd00:1::1", "dev", "eth0"]]
    left = [one for one in attached.routes("main") if one.startswith("default")]
    assert [one.split()[:5] for one in left] == [["default", "via", "fd00:2::1", "dev", "eth1"]]
    attached.check(result)
    attached.delete(attached.config())
    ns.command("ip", "link", "delete", "eth1")


def test_check_of_ptp_whose_own_routes_are_in_the_vrf(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    host.share('rule {*"l3mdev"*', 'rule {"priority": 1000,*')
    ptp = {**BRIDGE, "type": "ptp"}
    first = runtime.add(ptp, netns=container)
    asked = {**CONFIG, "prevResult": first}
    result = runtime.add(asked, netns=container)
    runtime.check(CONFIG, result, netns=container)
    runtime.check(ptp, result, netns=container)
    way = ("10.1.0.0/24", "via", "10.1.0.1", "dev", "eth0", "vrf", "blue")
    container.command("ip", "route", "delete", *way)
    with pytest.raises(PluginError, match=r"lacks the route to 10\.1\.0\.0/24 via 10\.1\.0\.1"):
        runtime.check(ptp, result, netns=container)
    runtime.delete(asked, netns=container)
    runtime.delete(ptp, netns=container)


def test_a_vrf_that_is_there(attached: Attached) -> None:
    ns = attached.ns
    ns.command("ip", "link", "add", "blue", "type", "vrf", "table", "42")
    with pytest.raises(PluginError, match="already exist with different routing table") as caught:
        attached.add(attached.config(table=43))
    assert caught.value.code == IN_THE_WAY
    result = attached.add(attached.config(table=42))
    assert "UP" in ns.links()["blue"]["flags"]
    attached.check(result)
    attached.check(result, table=42)
    with pytest.raises(PluginError, match="different routing table 42, and the config has 43"):
        attached.check(result, table=43)
    attached.delete(attached.config())
    assert "blue" not in ns.links()


def test_two_interfaces_share_one(attached: Attached) -> None:
    ns = attached.ns
    ns.command("ip", "link", "add", "eth1", "type", "dummy")
    ns.command("ip", "link", "set", "eth1", "up")
    attached.add(attached.config(table=100))
    attached.add(attached.config(), ifname="eth1")
    assert ns.links()["eth1"]["master"] == "blue"
    attached.delete(attached.config())
    assert ns.links()["blue"]
    assert "master" not in ns.links()["eth0"]
    attached.delete(attached.config(vrfname=7), ifname="eth1")  # as the interface tells
    assert "blue" not in ns.links()
    ns.command("ip", "link", "delete", "eth1")


def test_tables_that_are_used_are_passed_over(attached: Attached) -> None:
    ns = attached.ns
    ns.command("ip", "link", "add", "red", "type", "vrf", "table", "1")
    ns.command("ip", "rule", "add", "from", "10.9.9.9", "table", "2")
    ns.command("ip", "route", "add", "10.9.0.0/16", "dev", "eth0", "table", "3")
    attached.add(attached.config())
    assert attached.table() == 4
    attached.delete(attached.config())
    ns.command("ip", "link", "delete", "red")
    ns.command("ip", "rule", "delete", "from", "10.9.9.9")


def test_what_is_in_the_way(attached: Attached) -> None:
    ns = attached.ns
    ns.command("ip", "link", "add", "blue", "type", "dummy")
    with pytest.raises(PluginError, match=r'"vrfname": interface blue .* is a dummy') as caught:
        attached.add(attached.config())
    assert caught.value.code == IN_THE_WAY
    attached.delete(attached.config())
    ns.command("ip", "link", "delete", "blue")
    attached.add(attached.config())
    with pytest.raises(PluginError, match="already a master set: blue") as caught:
        attached.add(attached.config(vrfname="red"))
    assert caught.value.code == IN_THE_WAY
    assert "red" not in ns.links()
    attached.delete(attached.config())
    with pytest.raises(PluginError, match="eth7") as caught:
        attached.add(attached.config(), ifname="eth7")
    assert caught.value.code == SYSTEM
    assert "blue" not in ns.links()


def test_a_failed_add_leaves_all_as_it_was(attached: Attached) -> None:
    ns = attached.ns
    ns.command("ip", "link", "add", "ring", "type", "vrf", "table", "7")
    with pytest.raises(PluginError) as caught:  # which can be in no other
        attached.add(attached.config(), ifname="ring")
    assert caught.value.code == SYSTEM
    assert "blue" not in ns.links()
    ns.command("ip", "link", "delete", "ring")
    failed = sweep.add(
        lambda: attached.results.append(attached.add(attached.config())),
        attached.finish,
        attached.state,
    )
    assert failed > 20


def test_a_killed_add_is_deleted(attached: Attached) -> None:
    """The interface has then lost its routes, as with the reference."""

    def clean() -> None:
        attached.delete(attached.config())
        attached.again()

    sweep.killed(lambda: None, lambda: attached.add(attached.config()), clean, attached.state)


MUTATIONS = [
    ("link set eth0 nomaster", "eth0 is not in VRF blue"),
    ("link set blue down", "VRF blue is down"),
    ("route delete default vrf blue", "lacks the route to 0.0.0.0/0 via 10.1.0.1"),
    ("-4 rule delete l3mdev", "lacks the IPv4 rule that leads to the tables of VRFs"),
    ("-6 rule delete l3mdev", "lacks the IPv6 rule that leads to the tables of VRFs"),
    ("link set eth0 name eth9", "interface eth0 does not exist"),
    ("link delete blue", "the container has no VRF blue"),
]


def test_check_names_each_mutation(attached: Attached) -> None:
    for command, words in MUTATIONS:
        result = attached.add(attached.config())
        attached.check(result)
        if "eth9" in command:
            attached.ns.command("ip", "link", "set", "eth0", "down")
        attached.ns.command("ip", *command.split())
        with pytest.raises(PluginError) as caught:
            attached.check(result)
        assert caught.value.code == CHECK_FAILED
        assert words in caught.value.msg
        if "rule" in command:
            family = command.split()[0]
            attached.ns.command("ip", family, "rule", "add", "l3mdev", "pref", "1000")
        attached.delete(attached.config())
        if "eth9" in command:
            attached.ns.command("ip", "link", "set", "eth9", "name", "eth0")
        attached.again()


def test_status_and_delete_without_a_namespace(attached: Attached) -> None:
    attached.runtime.status(CONFIG)
    attached.add(attached.config())
    attached.delete(attached.config(), netns="")
    attached.delete(attached.config(), netns="/run/netns/nowhere")
    attached.runtime.gc(CONFIG, [])
    assert "blue" in attached.ns.links()
    attached.ns.command("ip", "link", "delete", "eth0")
    attached.delete(attached.config())
    assert "blue" not in attached.ns.links()


def test_each_deletes_what_the_other_has_added(attached: Attached, host: Host) -> None:
    asked = attached.config(cniVersion="1.0.0")
    asked["prevResult"] = {**attached.first, "cniVersion": "1.0.0"}

    def reference(command: str) -> None:
        environ = {
            **os.environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": str(attached.ns),
            "CNI_PATH": "/usr/lib/cni",
        }
        done = host.run(
            subprocess.run,
            ["/usr/lib/cni/vrf"],
            input=json.dumps(asked).encode(),
            env=environ,
            capture_output=True,
        )
        assert done.returncode == 0, done.stdout

    reference("ADD")
    assert attached.table() == 1
    attached.check(asked["prevResult"])
    attached.delete(asked)
    assert "blue" not in attached.ns.links()
    attached.add(asked)
    reference("CHECK")
    reference("DEL")
    assert "blue" not in attached.ns.links()
