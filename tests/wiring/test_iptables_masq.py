"""`ipMasq` by iptables, both of them: the reference's rules, and containers that change suites."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, INVALID_CONFIG, NOT_AVAILABLE
from hostnet import netfilter, nft, spawn
from hostnet.iptables import words
from hostnet.iptables_look import Here
from tests.kit import iptables
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.iptables import HostTables
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask
from wiring import backend, firewall, iptables_masq, xtables

CHAIN = xtables.chain("net", "c1")


@pytest.fixture(params=iptables.VARIANTS)
def tables(
    request: pytest.FixtureRequest, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> HostTables:
    iptables.share(host)
    made = HostTables(host, tmp_path, request.param)
    made.install(monkeypatch)
    return made


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    host.share_bridge("cni0")
    host.share_nft("pycni_*")
    host.share_locks()
    host.share("sysctl *")
    return Runtime(tmp_path)


def network(host: Host, **keys: Any) -> dict[str, Any]:
    return {
        "cniVersion": "1.0.0",
        "name": "net",
        "type": "bridge",
        "isDefaultGateway": True,
        "ipMasq": True,
        "ipMasqBackend": "iptables",
        "ipam": {
            "type": "host-local",
            "dataDir": str(host.state / "networks"),
            "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
        },
        **keys,
    }


@pytest.fixture
def client(host: Host) -> Iterator[Namespace]:
    """A namespace beyond the host, at 10.2.0.9 and fd00:2::9, that has no route back."""
    made = host.container("client")
    peer = ("peer", "name", "eth0", "netns", str(made))
    host.command("ip", "link", "add", "uplink", "type", "veth", *peer)
    for ns, dev, last in ((host, "uplink", "1"), (made, "eth0", "9")):
        ns.command("ip", "link", "set", dev, "up")
        ns.command("ip", "address", "add", f"10.2.0.{last}/24", "dev", dev)
        ns.command("ip", "address", "add", f"fd00:2::{last}/64", "dev", dev, "nodad")
    made.wait_ready("eth0")
    yield made
    host.command("ip", "link", "delete", "uplink")


def without_comments(rules: list[str]) -> list[str]:
    """The rules that the reference knows."""
    return sorted(one for one in rules if '"net/c1/' not in one)


def test_the_references_rules(
    tables: HostTables, runtime: Runtime, host: Host, container: Namespace
) -> None:
    config = network(host)
    runtime.add(config, netns=container)
    mine = {version: tables.rules(version) for version in (4, 6)}
    runtime.delete(config)
    assert tables.of_cni() == []
    # The address is another one, since the last one was reserved.
    tables.reference("ADD", config, str(container))
    for version, one, other in ((4, "10.1.0.2/", "10.1.0.3/"), (6, "fd00:1::2/", "fd00:1::3/")):
        theirs = [rule.replace(other, one) for rule in tables.rules(version)]
        assert without_comments(mine[version]) == sorted(theirs)
        assert len(mine[version]) == len(theirs) + 1
    tables.reference("DEL", config, str(container))


def test_masqueraded_and_checked(
    tables: HostTables, runtime: Runtime, host: Host, container: Namespace, client: Namespace
) -> None:
    config = network(host)
    result = runtime.add(config, netns=container)
    container.wait_ready("eth0")
    for address, seen in (("10.2.0.9", "10.2.0.1"), ("fd00:2::9", "fd00:2::1")):
        with EchoServer(client, address, 7):
            assert ask(container, address, 7).client == seen
    runtime.check(config, result, netns=container)
    assert "pycni" not in nft.run("list tables")
    runtime.delete(config)
    assert tables.of_cni() == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("-t", "nat", "-F", "POSTROUTING"), "chain POSTROUTING of the iptables table nat lacks"),
        (("-t", "nat", "-F", CHAIN), "lacks `-d 10.1.0.0/24"),
        (("-t", "nat", "-D", CHAIN, "2"), "lacks `! -d 224.0.0.0/4"),
        (("-t", "nat", "-I", CHAIN, "-j", "RETURN"), "has `-j RETURN` and should not"),
    ],
)
def test_each_deviation_fails_check_and_add_mends_it(
    command: tuple[str, ...],
    problem: str,
    *,
    tables: HostTables,
    runtime: Runtime,
    host: Host,
    container: Namespace,
) -> None:
    config = network(host)
    result = runtime.add(config, netns=container)
    tables.run(*command)
    with pytest.raises(PluginError) as error:
        runtime.check(config, result, netns=container)
    assert error.value.code == CHECK_FAILED
    assert problem in error.value.msg
    iptables_masq.add("net/c1/eth0", [ip_interface("10.1.0.2/24"), ip_interface("fd00:1::2/64")])
    runtime.check(config, result, netns=container)
    runtime.delete(config)
    assert tables.of_cni() == []


def test_again_nothing_changes(tables: HostTables) -> None:
    four, six = ip_interface("10.1.0.2/24"), ip_interface("fd00:1::2/64")
    for _ in range(3):
        iptables_masq.add("net/c1/eth0", [four, six])
        before = tables.of_cni()
        assert len([one for one in before if "-A POSTROUTING" in one]) == 2
    # With other addresses they take the place of those before.
    iptables_masq.add("net/c1/eth0", [ip_interface("10.1.0.3/16")])
    text = "\n".join(tables.rules())
    assert "10.1.0.3/32" in text
    assert "-d 10.1.0.0/16" in text
    assert "10.1.0.2" not in text
    firewall.teardown("net/c1/eth0", "veth0")
    assert tables.of_cni() == []
    # Beyond a subnet that is everything there is nothing.
    iptables_masq.add("net/c1/eth0", [ip_interface("10.1.0.7/0")])
    assert tables.of_cni() == []


def test_two_interfaces_of_one_container(tables: HostTables) -> None:
    iptables_masq.add("net/c1/eth0", [ip_interface("10.1.0.2/24")])
    alone = tables.of_cni()
    iptables_masq.add("net/c1/eth1", [ip_interface("10.1.0.3/24"), ip_interface("10.7.0.3/24")])
    assert len(tables.of_cni()) == len(alone) + 5
    firewall.teardown("net/c1/eth1", "veth1")
    assert sorted(tables.of_cni()) == sorted(alone)
    assert list(iptables_masq.problems("net/c1/eth0", [ip_interface("10.1.0.2/24")])) == []
    firewall.teardown("net/c1/eth0", "veth0")
    assert tables.of_cni() == []


def test_names_too_long_for_a_comment(tables: HostTables) -> None:
    owner, other = (f"{'n' * 150}/{'c' * 150}/{ifname}" for ifname in ("eth0", "eth1"))
    wanted = [ip_interface("10.1.0.2/24")]
    iptables_masq.add(owner, wanted)
    iptables_masq.add(other, [ip_interface("10.1.0.3/24")])
    assert list(iptables_masq.problems(owner, wanted)) == []
    with netfilter.Netfilter() as nl:
        iptables_masq.remove_strangers(Here(nl), "n" * 150, [owner])
    assert list(iptables_masq.problems(owner, wanted)) == []
    assert "10.1.0.3" not in "\n".join(tables.rules())
    firewall.teardown(owner, "veth0")
    assert tables.of_cni() == []


def test_the_reference_deletes_what_we_added(
    tables: HostTables, runtime: Runtime, host: Host, container: Namespace
) -> None:
    config = network(host)
    runtime.add(config, netns=container)
    tables.reference("DEL", config, str(container))
    assert tables.of_cni() == []
    runtime.delete(config)


def test_we_delete_what_the_reference_added(
    tables: HostTables, runtime: Runtime, host: Host, container: Namespace
) -> None:
    config = network(host)
    # Without the namespace, where the reference leaves it all behind, and by whatever backend.
    for keys in ({}, {"ipMasqBackend": "nftables"}, {"ipMasq": False}):
        tables.reference("ADD", config, str(container))
        assert len(tables.of_cni()) == 8
        runtime.delete({**config, **keys})
        assert tables.of_cni() == []
        container.command("ip", "link", "delete", "eth0", check=False)


@pytest.mark.parametrize("keys", [{}, {"ipMasqBackend": None}], ids=["named", "of the host"])
def test_check_knows_what_the_reference_added(
    keys: dict[str, Any],
    tables: HostTables,
    runtime: Runtime,
    host: Host,
    container: Namespace,
) -> None:
    """After a change of suites, whatever this host's backend is today."""
    config = {**network(host), **keys}
    result = tables.reference("ADD", network(host), str(container))
    runtime.check(config, result, netns=container)
    jump = next(one for one in tables.rules() if one.startswith("-A POSTROUTING"))
    for command in (
        ("-t", "nat", "-D", CHAIN, "1"),
        ("-t", "nat", "-F", CHAIN),
        ("-t", "nat", *words(jump.replace("-A", "-D", 1))),
    ):
        saved = host.command(f"iptables-{tables.variant}-save").stdout
        tables.run(*command)
        with pytest.raises(PluginError) as error:
            runtime.check(config, result, netns=container)
        assert error.value.code == CHECK_FAILED
        host.command(f"iptables-{tables.variant}-restore", stdin=saved)
        runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    assert tables.of_cni() == []


def test_gc(tables: HostTables, runtime: Runtime, host: Host, container: Namespace) -> None:
    config = {**network(host), "cniVersion": "1.1.0"}
    old = network(host)
    tables.reference("ADD", {**old, "_container": "r1"}, str(container), "eth0")
    tables.reference("ADD", {**old, "_container": "r2"}, str(container), "eth1")
    tables.reference("ADD", {**old, "_container": "r1", "name": "network"}, str(container), "eth2")
    for owner in ("net/c1/eth0", "net/c1/eth1", "net/c2/eth0", "network/c1/eth0"):
        iptables_masq.add(owner, [ip_interface("10.1.0.99/24")])
    runtime.gc(config, [("r1", "eth0"), ("c1", "eth1")])
    chains = {one.split()[0][1:] for one in tables.rules() if one.startswith(":")}
    assert chains == {
        xtables.chain(*one)
        for one in (("net", "r1"), ("net", "c1"), ("network", "r1"), ("network", "c1"))
    }
    comments = {xtables.commented(one) for one in tables.rules() if "/eth" in one}
    assert comments == {"net/c1/eth1", "network/c1/eth0"}
    for name in ("net", "network"):
        runtime.gc({**config, "name": name}, [])
    assert tables.of_cni() == []
    for ifname in ("eth0", "eth1", "eth2"):
        container.command("ip", "link", "delete", ifname)


def test_where_nothing_is_no_program_is_run(
    tables: HostTables, runtime: Runtime, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.run("-t", "nat", "-N", "DOCKER")
    tables.run("-t", "nat", "-A", "POSTROUTING", "-s", "172.17.0.0/16", "-j", "MASQUERADE")
    tables.run("-t", "nat", "-N", "CNI-somebody-elses")
    iptables_masq.add("net/c2/eth0", [ip_interface("10.1.0.3/24")])
    with monkeypatch.context() as patch:
        patch.setattr(spawn, "run", None)
        runtime.delete(network(host))
    firewall.teardown("net/c2/eth0", "veth0")
    rules = tables.rules()
    assert ":DOCKER - [0:0]" in rules
    assert "-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE" in rules
    tables.run("-t", "nat", "-D", "POSTROUTING", "1")
    for chain in ("DOCKER", "CNI-somebody-elses"):
        tables.run("-t", "nat", "-X", chain)


def test_a_program_that_fails(
    tables: HostTables, runtime: Runtime, host: Host, container: Namespace
) -> None:
    config = network(host)
    (tables.path / "ip6tables-restore").unlink()
    (tables.path / "ip6tables-restore").symlink_to("/bin/false")
    with pytest.raises(PluginError, match=r"cannot change the rules of ip6tables: .* says: exit"):
        runtime.add(config, netns=container)
    # It could not be undone by that program, and no rule of it is there: the other's are gone.
    assert tables.of_cni() == []
    assert container.links().keys() == {"lo"}


def test_iptables_that_is_not_there(
    runtime: Runtime, host: Host, container: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "DIRECTORIES", ("/nowhere",))
    with pytest.raises(PluginError, match=r"is not installed; install iptables"):
        runtime.add(network(host), netns=container)
    with pytest.raises(PluginError, match=r"an ADD would fail: .*not installed") as error:
        runtime.status({**network(host), "cniVersion": "1.1.0"})
    assert error.value.code == NOT_AVAILABLE
    assert container.links().keys() == {"lo"}


def test_the_host_chooses(
    tables: HostTables,
    runtime: Runtime,
    host: Host,
    container: Namespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = network(host)
    del config["ipMasqBackend"]
    file = host.state.parent / "pycni.json"
    monkeypatch.setattr(backend, "FILE", str(file))
    result = runtime.add(config, netns=container)
    assert tables.of_cni() == []  # nftables, where the kernel has it
    file.write_text('{"backend": "iptables"}')
    # What is there was right when it was made, and goes whatever is right by now.
    runtime.check(config, result, netns=container)
    runtime.delete(config)
    assert nft.run("list set inet pycni_masquerade sources4").count("elements") == 0
    result = runtime.add(config, netns=container)
    assert len(tables.of_cni()) == 10
    file.unlink()
    runtime.check(config, result, netns=container)
    with pytest.raises(PluginError, match=r"10\.1\.0\.3/24 is not masqueraded"):
        runtime.check({**config, "ipMasqBackend": "nftables"}, result, netns=container)
    runtime.delete(config)
    assert tables.of_cni() == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"backend": "ipfw"}', 'key "backend": found "ipfw"'),
        ('{"backend": 1}', 'key "backend": found 1'),
        ("[]", "expected a JSON object"),
        ("{", "is not JSON"),
        ("", "is empty"),
    ],
)
def test_a_file_of_the_host_that_is_wrong(
    text: str,
    problem: str,
    *,
    runtime: Runtime,
    host: Host,
    container: Namespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = host.state.parent / "pycni.json"
    file.write_text(text)
    monkeypatch.setattr(backend, "FILE", str(file))
    config = network(host, ipMasqBackend="")
    with pytest.raises(PluginError, match=f"the file {file}: .*{problem}") as error:
        runtime.add(config, netns=container)
    assert error.value.code == INVALID_CONFIG
    with pytest.raises(PluginError, match=f"the file {file}: .*{problem}") as error:
        runtime.status({**config, "cniVersion": "1.1.0"})
    assert error.value.code == NOT_AVAILABLE
    runtime.delete(config)
    # Whoever says it in the config does not ask the file.
    runtime.add(network(host, ipMasqBackend="nftables"), netns=container)
    runtime.delete(config)


def test_the_references_nftables_rules(runtime: Runtime, host: Host) -> None:
    """Those of its nftables backend, which Debian's version has not: as its source lays them."""
    hashes = {one: xtables.hashed(one, 16) for one in ("net", "network", "eth0:c1", "eth0:c2")}
    rules = [
        (hashes["net"], hashes["eth0:c1"], "net: net, if: eth0, id: c1"),
        (hashes["net"], hashes["eth0:c2"], "net: net, if: eth0, id: c2"),
        (hashes["network"], hashes["eth0:c1"], "net: network, if: eth0, id: c1"),
    ]
    table = "inet cni_plugins_masquerade"
    nft.run(
        f"add table {table}\nadd chain {table} masq_checks\n"
        + "".join(
            f"add rule {table} masq_checks ip saddr == 10.1.0.{number} ip daddr != 10.1.0.0/24 "
            f'masquerade comment "{one}-{other}, {text}"\n'
            for number, (one, other, text) in enumerate(rules, 2)
        )
    )

    def left() -> list[str]:
        text = nft.run(f"list chain {table} masq_checks")
        return [each for _, _, each in rules if each in text]

    runtime.delete(network(host))
    assert left() == ["net: net, if: eth0, id: c2", "net: network, if: eth0, id: c1"]
    config = {**network(host), "cniVersion": "1.1.0"}
    runtime.gc(config, [("c2", "eth0")])
    assert len(left()) == 2
    runtime.gc(config, [("c2", "eth1")])
    assert left() == ["net: network, if: eth0, id: c1"]
    runtime.delete({**network(host), "name": "network"}, container="c1")
    assert left() == []
    nft.run(f"delete table {table}")
