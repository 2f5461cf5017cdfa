"""What every plugin promises that gives a container an interface and has no bridge.

A plugin's tests derive a class from `Contract`, say how its networks look, and get every verb in
every version, calls that come twice, too early or without a namespace, and each common deviation.
"""

from __future__ import annotations

import errno
import inspect
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cni.errors import (
    CHECK_FAILED,
    DELEGATE_FAILED,
    IN_THE_WAY,
    INVALID_CONFIG,
    INVALID_ENVIRONMENT,
    NOT_AVAILABLE,
    TRY_AGAIN_LATER,
)
from hostnet import link
from hostnet.netlink import NetlinkError
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.faults import Fault, with_fault
from tests.kit.host import Host
from tests.kit.ipam import BundledIpam, FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.versions import each_version, versions_since

ADDRESSES = ("10.1.0.2/16 10.1.0.1", "2001:db8::2/64 2001:db8::1")
ROUTES: list[Document] = [
    {"dst": "0.0.0.0/0"},
    {"dst": "::/0"},
    {"dst": "10.5.0.0/16", "mtu": 1300},
]

# What is done in the container, and the words that must name it.
MUTATIONS = {
    "ip link set eth0 down": "interface eth0 is down",
    "ip link set eth0 mtu 1300": "eth0 has the MTU 1300, expected",
    "ip link set eth0 address 02:00:00:00:00:97": "interface eth0 has the MAC 02:00:00:00:00:97",
    "ip address delete 10.1.0.2/16 dev eth0": "eth0 lacks its address 10.1.0.2/16",
    "ip address delete 2001:db8::2/64 dev eth0": "eth0 lacks its address 2001:db8::2/64",
    "ip address add 10.9.9.9/32 dev eth0": "10.9.9.9/32, which ADD did not give",
    "ip route delete default": "lacks the route to 0.0.0.0/0 via 10.1.0.1",
    "ip route replace default via 10.1.0.77 onlink dev eth0": "found one via 10.1.0.77",
    "ip -6 route delete default": "lacks the route to ::/0 via 2001:db8::1",
    "ip route delete 10.5.0.0/16": "lacks the route to 10.5.0.0/16",
    "ip link set eth0 name eth9": "interface eth0 does not exist in",
    "ip link delete eth0": "interface eth0 does not exist in",
}
REFERENCE = Path("/usr/lib/cni")


def reference(verb: str, config: Document, netns: Namespace) -> Document:
    """Call the reference's plugin, Debian's, in the namespace of this thread; what it answers."""
    environ = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": str(netns),
        "CNI_PATH": str(REFERENCE),
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [REFERENCE / config["type"]],
        input=json.dumps(config),
        env=environ,
        text=True,
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: Document = json.loads(done.stdout or "{}")
    return answer


class Contract:
    """keys: what the plugin's config needs. outer: how many interfaces the result has before the
    container's. impossible: the mutations that this kind of link does not take. strict: whether it
    refuses a key of CNI_ARGS that nobody knows, as those of the reference do that read any."""

    plugin: ClassVar[str]
    keys: ClassVar[dict[str, Any]] = {}
    outer: ClassVar[int] = 0
    impossible: ClassVar[frozenset[str]] = frozenset()
    strict: ClassVar[bool] = False

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "mutation" in metafunc.fixturenames:
            metafunc.parametrize("mutation", self.mutations())

    def mutations(self) -> list[str]:
        """The mutations that this kind of link takes."""
        return [one for one in MUTATIONS if one not in self.impossible]

    def network(self, ipam: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
        """A network of the plugin; keys that are None are left out."""
        document = {"cniVersion": "1.1.0", "name": "net", "type": self.plugin, **self.keys, **keys}
        if ipam is not None:
            document["ipam"] = ipam
        return {key: value for key, value in document.items() if value is not None}

    def usual(self, fake: FakeIpam, **keys: Any) -> dict[str, Any]:
        """A network with addresses of both families and routes."""
        return self.network(fake.section(*ADDRESSES, routes=ROUTES), **keys)

    # ---- ADD

    @each_version
    def test_the_result_in_every_version(
        self, version: str, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.usual(fake, cniVersion=version)
        result = runtime.add(config, netns=container)
        assert result["cniVersion"] == version
        if version in ("0.1.0", "0.2.0"):
            assert result["ip4"]["ip"] == "10.1.0.2/16"
            assert result["ip4"]["routes"][0] == {"dst": "0.0.0.0/0"}
            assert result["ip6"]["ip"] == "2001:db8::2/64"
            assert "interfaces" not in result
        else:
            inner = container.links()["eth0"]
            shown = result["interfaces"][self.outer]
            assert (shown["name"], shown["mac"]) == ("eth0", inner["address"])
            assert shown["sandbox"] == str(container)
            assert len(result["interfaces"]) == self.outer + 1
            assert [one["interface"] for one in result["ips"]] == [self.outer] * 2
            assert [one["address"] for one in result["ips"]] == ["10.1.0.2/16", "2001:db8::2/64"]
            assert [one["dst"] for one in result["routes"]] == [one["dst"] for one in ROUTES]
            if version in versions_since("1.0.0"):
                assert shown["mtu"] == inner["mtu"]
        if version in versions_since("0.4.0"):
            runtime.check(config, result, netns=container)
        runtime.delete(config, netns=container)
        assert "eth0" not in container.links()
        assert fake.calls[-1] == "DEL c1"

    def test_what_the_container_gets(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.usual(fake)
        runtime.add(config, netns=container)
        assert "UP" in container.links()["eth0"]["flags"]
        assert container.addresses("eth0") == ["10.1.0.2/16", "2001:db8::2/64"]
        assert container.ip("route", "show", "default")[0]["gateway"] == "10.1.0.1"
        assert container.ip("-6", "route", "show", "default")[0]["gateway"] == "2001:db8::1"
        assert container.ip("route", "show", "10.5.0.0/16")[0]["metrics"] == [{"mtu": 1300}]
        runtime.delete(config, netns=container)

    def test_ipv6_addresses_outlast_a_link_that_goes_down(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        """As with the reference since 1.7.0; else the kernel drops them. Routes it drops anyway."""
        config = self.network(fake.section("2001:db8::2/64 2001:db8::1"))
        result = runtime.add(config, netns=container)
        for state in ("down", "up"):
            container.command("ip", "link", "set", "eth0", state)
        assert container.addresses("eth0") == ["2001:db8::2/64"]
        if not self.outer:
            runtime.check(config, result, netns=container)
        runtime.delete(config, netns=container)

    def test_dns_of_the_config_goes_before_the_ipam_plugins(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        allocated = {"nameservers": ["192.0.2.1"]}
        config = self.network(fake.section(ADDRESSES[0], dns=allocated))
        assert runtime.add(config, netns=container)["dns"] == allocated
        runtime.delete(config, netns=container)
        ours = {"nameservers": ["192.0.2.2"], "search": ["example.org"]}
        assert runtime.add({**config, "dns": ours}, netns=container)["dns"] == ours
        runtime.delete(config, netns=container)

    @pytest.mark.parametrize("args", ["FOO=bar", "IgnoreUnknown=0;FOO=bar"])
    def test_unknown_args(
        self, args: str, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.usual(fake)
        if self.strict:
            with pytest.raises(PluginError, match="unknown key 'FOO'") as caught:
                runtime.add(config, netns=container, args=args)
            assert caught.value.code == INVALID_ENVIRONMENT
            args = "IgnoreUnknown=1;FOO=bar"
        result = runtime.add(config, netns=container, args=args)
        runtime.check(config, result, netns=container, args=args)
        runtime.delete(config, netns=container, args=args)

    def test_a_second_add_is_refused_and_spares_the_first(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.usual(fake)
        result = runtime.add(config, netns=container)
        calls = fake.calls
        with pytest.raises(PluginError, match="eth0 already exists in") as caught:
            runtime.add(config, netns=container)
        assert caught.value.code == IN_THE_WAY
        assert fake.calls == calls
        runtime.check(config, result, netns=container)
        runtime.delete(config, netns=container)

    @pytest.mark.parametrize(
        "case",
        [
            ({"fail": ["ADD"]}, TRY_AGAIN_LATER, "told to fail"),
            ({"routes": [{"dst": "10.6.0.0/16", "gw": "172.16.0.1"}]}, None, "via 172.16.0.1"),
            ({"addresses": ()}, DELEGATE_FAILED, "missing IP config"),
        ],
        ids=["ipam fails", "half way", "no address"],
    )
    def test_a_failure_leaves_nothing(
        self,
        case: tuple[dict[str, Any], int | None, str],
        runtime: Runtime,
        fake: FakeIpam,
        container: Namespace,
    ) -> None:
        section, code, words = case
        ipam = dict(section)
        config = self.network(fake.section(*ipam.pop("addresses", ADDRESSES), **ipam))
        with pytest.raises(PluginError, match=rf'{self.plugin} on network "net": .*{words}') as one:
            runtime.add(config, netns=container)
        assert code in (one.value.code, None)
        assert set(container.links()) == {"lo"}
        if "fail" not in section:
            assert fake.calls == ["ADD c1", "DEL c1"]

    def test_a_missing_ipam_plugin(
        self, runtime: Runtime, host: Host, container: Namespace
    ) -> None:
        with pytest.raises(PluginError, match='failed to find plugin "nowhere"') as caught:
            runtime.add(self.network({"type": "nowhere"}), netns=container)
        assert caught.value.code == INVALID_ENVIRONMENT
        with pytest.raises(PluginError, match=r"plugin type '../x'") as caught:
            runtime.add(self.network({"type": "../x"}), netns=container)
        assert caught.value.code == INVALID_CONFIG
        assert set(container.links()) == {"lo"}

    # ---- DEL

    @pytest.mark.parametrize("how", ["unset", "deleted", "a plain file"])
    def test_delete_without_a_namespace(
        self, how: str, runtime: Runtime, fake: FakeIpam, host: Host
    ) -> None:
        container = host.container()
        config = self.usual(fake)
        runtime.add(config, netns=container)
        netns = str(container)
        if how == "unset":
            netns = ""
        container.close()  # as the runtime does sooner or later
        if how == "a plain file":
            container.path.touch()
        runtime.delete(config, netns=netns)
        assert fake.calls[-1] == "DEL c1"
        if how == "a plain file":
            container.path.unlink()
        self.wait_gone()

    def wait_gone(self) -> None:
        """Wait until the kernel has removed the links of a namespace that nobody has any more."""

    def test_delete_twice_and_of_nothing(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.usual(fake)
        runtime.delete(config, netns=container)
        runtime.add(config, netns=container)
        runtime.delete(config, netns=container)
        runtime.delete(config, netns=container)
        runtime.delete(config)
        assert fake.calls == ["DEL c1", "ADD c1", "DEL c1", "DEL c1", "DEL c1"]

    def test_delete_finds_what_was_renamed(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.usual(fake)
        runtime.add(config, netns=container)
        container.command("ip", "link", "set", "eth0", "down")
        container.command("ip", "link", "set", "eth0", "name", "wan")
        runtime.delete(config, netns=container)
        assert set(container.links()) == {"lo"}

    def test_delete_spares_another_networks_interface(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        """A runtime sends a DEL after an ADD that was refused because the name was taken."""
        config = self.usual(fake)
        result = runtime.add(config, netns=container)
        runtime.delete({**config, "name": "other"}, netns=container)
        runtime.check(config, result, netns=container)
        runtime.delete(config, netns=container)

    def test_delete_cleans_up_and_reports_when_ipam_fails(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.network(fake.section(*ADDRESSES, fail=["DEL"]))
        runtime.add(config, netns=container)
        with pytest.raises(PluginError, match="told to fail") as caught:
            runtime.delete(config, netns=container)
        assert caught.value.code == TRY_AGAIN_LATER
        assert set(container.links()) == {"lo"}

    def test_delete_under_a_config_that_has_become_invalid(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.usual(fake)
        runtime.add(config, netns=container)
        runtime.delete(
            {**config, "mtu": "x", "ipMasq": 5, "mode": [], "master": 7, "dns": 1}, netns=container
        )
        assert set(container.links()) == {"lo"}
        assert fake.calls[-1] == "DEL c1"

    # ---- CHECK

    def test_each_mutation_is_named(
        self, mutation: str, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.usual(fake)
        result = runtime.add(config, netns=container)
        runtime.check(config, result, netns=container)
        if " name " in mutation:
            container.command("ip", "link", "set", "eth0", "down")
        container.command(*mutation.split())
        self.refused(runtime, config, result, container, MUTATIONS[mutation])
        runtime.delete(config, netns=container)

    def refused(
        self, runtime: Runtime, config: Document, result: Document, netns: Namespace, words: str
    ) -> None:
        """CHECK fails, and says so in these words."""
        with pytest.raises(PluginError) as caught:
            runtime.check(config, result, netns=netns)
        assert caught.value.code == CHECK_FAILED
        assert words in caught.value.msg

    def test_check_hears_the_ipam_plugin_and_wants_a_result(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.network(fake.section(*ADDRESSES, fail=["CHECK"]))
        result = runtime.add(config, netns=container)
        with pytest.raises(PluginError, match="told to fail"):
            runtime.check(config, result, netns=container)
        with pytest.raises(PluginError, match='key "prevResult"') as caught:
            runtime.call("CHECK", config, netns=container)
        assert caught.value.code == INVALID_CONFIG
        runtime.delete(config, netns=container)

    # ---- GC and STATUS

    def test_gc_spares_what_is_valid_and_hears_the_ipam_plugin(
        self, runtime: Runtime, fake: FakeIpam, container: Namespace
    ) -> None:
        config = self.usual(fake)
        result = runtime.add(config, netns=container)
        runtime.gc(config, [("c1", "eth0")])
        runtime.gc({**config, "name": "other"}, [])
        runtime.check(config, result, netns=container)
        assert sum(one.startswith("GC") for one in fake.calls) == 2
        runtime.delete(config, netns=container)
        broken = self.network(fake.section(*ADDRESSES, fail=["GC"]))
        with pytest.raises(PluginError, match="told to fail"):
            runtime.gc(broken, [])

    def test_status(self, runtime: Runtime, fake: FakeIpam) -> None:
        runtime.status(self.usual(fake))
        with pytest.raises(PluginError, match='an ADD would fail: key "dns"') as caught:
            runtime.status(self.usual(fake, dns=5))
        assert caught.value.code == NOT_AVAILABLE
        with pytest.raises(PluginError, match="told to fail"):
            runtime.status(self.network(fake.section(fail=["STATUS"])))


class WithReference(Contract):
    """For a plugin that Debian's version of the reference has too."""

    @pytest.mark.parametrize("first", ["reference", "ours"])
    def test_beside_the_reference(
        self, first: str, runtime: Runtime, host: Host, container: Namespace
    ) -> None:
        """What one suite has added, the other deletes."""
        if not REFERENCE.exists():
            pytest.skip("the reference suite is missing")
        host.share_locks()
        reservations = host.state / "addresses" / "net"
        config = self.network(
            {
                "type": "host-local",
                "subnet": "10.77.0.0/24",
                "dataDir": str(host.state / "addresses"),
                "routes": [{"dst": "0.0.0.0/0"}],
            },
            cniVersion="1.0.0",
        )
        if first == "reference":
            result = reference("ADD", config, container)
            runtime.check(config, result, netns=container)
            assert list(reservations.glob("10.*"))
            runtime.delete(config, netns=container)
        else:
            result = runtime.add(config, netns=container)
            reference("CHECK", {**config, "prevResult": result}, container)
            assert list(reservations.glob("10.*"))
            reference("DEL", {**config, "prevResult": result}, container)
        assert set(container.links()) == {"lo"}
        assert not list(reservations.glob("10.*"))
        # Our index of the directory, which the reference does not know and so did not remove.
        shutil.rmtree("/run/cni/ipam-index", ignore_errors=True)


def keep_all(contract: Contract, runtime: Runtime, host: Host) -> None:
    """Hold a plugin to all its promises on one host, in one container.

    For where making a host and looking it over for leaks takes most of a test's time.
    """
    container = host.container()
    for name, promise in inspect.getmembers(contract, inspect.ismethod):
        if not name.startswith("test_"):
            continue
        wanted = inspect.signature(promise).parameters
        for case in _cases(contract, promise):
            (host.state / "case").mkdir()
            there = {
                "runtime": runtime,
                "host": host,
                "container": container,
                "fake": BundledIpam(runtime, host.state / "case"),
                **case,
            }
            try:
                promise(**{key: value for key, value in there.items() if key in wanted})
            except BaseException as error:
                error.add_note(f"in {name}, {case}")
                raise
            finally:
                shutil.rmtree(host.state / "case")


def _cases(contract: Contract, promise: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """What pytest would parametrise the promise with."""
    axes: list[list[tuple[str, Any]]] = [
        [(mark.args[0], value) for value in mark.args[1]]
        for mark in getattr(promise, "pytestmark", ())
        if mark.name == "parametrize"
    ]
    if "mutation" in inspect.signature(promise).parameters:
        axes.append([("mutation", one) for one in contract.mutations()])
    return map(dict, itertools.product(*axes))


class UnderFaults(Contract):
    """For a plugin that this kernel can serve: whatever goes wrong once, nothing stays behind."""

    @pytest.mark.parametrize("method", ["_send", "_receive"])
    def test_add_is_complete_or_undone(
        self, method: str, runtime: Runtime, host: Host, container: Namespace
    ) -> None:
        config = self.usual(BundledIpam(runtime, host.state))
        before = names(host)
        failed = 0
        for at in range(1, 1000):
            fault = Fault(method, at, lost)
            result: list[Document] = []
            try:
                with_fault(fault, lambda: result.append(runtime.add(config, netns=container)))  # noqa: B023
            except PluginError:
                failed += 1
            else:
                runtime.check(config, result[0], netns=container)
                runtime.delete(config, netns=container)
            there = names(container), names(host)
            assert there == ({"lo"}, before), f"left after the fault at {at}"
            if not fault.struck():
                break
        assert failed > 10
        (host.state / "ipam.log").unlink()

    @pytest.mark.parametrize("method", ["_send", "_receive"])
    def test_del_again_is_clean(
        self, method: str, runtime: Runtime, host: Host, container: Namespace
    ) -> None:
        config = self.usual(BundledIpam(runtime, host.state))
        before = names(host)
        for at in range(1, 1000):
            runtime.add(config, netns=container)
            fault = Fault(method, at, lost)
            try:
                with_fault(fault, lambda: runtime.delete(config, netns=container))
            except PluginError:
                runtime.delete(config, netns=container)
            there = names(container), names(host)
            assert there == ({"lo"}, before), f"left after the fault at {at}"
            if not fault.struck():
                break
        (host.state / "ipam.log").unlink()

    @pytest.mark.parametrize("verb", ["add", "delete"])
    def test_killed_anywhere_then_del(
        self, verb: str, runtime: Runtime, host: Host, container: Namespace
    ) -> None:
        config = self.usual(BundledIpam(runtime, host.state))
        before = names(host)
        for at in range(1, 1000):
            if verb == "delete":
                runtime.add(config, netns=container)
            act = getattr(runtime, verb)
            child = os.fork()
            if child == 0:
                with_fault(
                    Fault("_send", at, lambda: os._exit(9)),
                    lambda: act(config, netns=container),  # noqa: B023
                )
                os._exit(0)
            killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
            runtime.delete(config, netns=container)
            there = names(container), names(host)
            assert there == ({"lo"}, before), f"left by one that was killed at {at}"
            if not killed:
                break
        (host.state / "ipam.log").unlink()


def lost() -> None:
    """What the kernel answered is lost, or what it is asked does not get there."""
    raise NetlinkError(errno.ENOBUFS, "test", unanswered=True)


def names(ns: Namespace) -> set[str]:
    """The interfaces of a namespace."""
    with ns.open() as there, there.netlink() as nl:
        return {one.name for one in link.dump(nl)}
