"""Promise 4: after a reboot every address is to be had again, and none of a live container is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.errors import DUPLICATE, NO_ADDRESS
from cni_host_local import boot
from tests.host_local.network import V4, Network, reference, remove_indexes
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import MNT_DETACH, MS_BIND, Namespace, libc, mount
from tests.reliability.reboot import reboot

SMALL = {"subnet": "10.1.2.0/29"}  # five addresses beside the gateway
HELD = [f"10.1.2.{n}" for n in range(2, 7)]


@pytest.fixture(scope="module")
def netns(tmp_path_factory: pytest.TempPathFactory, _private_mounts: None) -> Iterator[Namespace]:
    made = Namespace(tmp_path_factory.mktemp("reboot") / "netns")
    yield made
    made.close()


@pytest.fixture
def network(tmp_path: Path, netns: Namespace) -> Iterator[Network]:
    made = Network(tmp_path, netns)
    made.ranges([SMALL])
    yield made
    remove_indexes("net", "other")


@pytest.fixture
def full(network: Network) -> Network:
    """Every address is held, by c0 to c4, and the machine has been rebooted since."""
    for number in range(len(HELD)):
        network.add(f"c{number}")
    assert network.fails("add", "new").code == NO_ADDRESS
    reboot(network.directory)
    return network


def remember(network: Network, container: str, netns: Path | Namespace) -> Path:
    """An entry of the results cache, as every runtime writes it."""
    path = Path(boot.RESULTS) / f"{network.network}-{container}-eth0"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"kind": "cniCacheV1", "netns": str(netns)}))
    return path


@pytest.fixture
def cached(_private_mounts: None) -> Iterator[None]:
    """For tests that write entries: takes them away."""
    yield
    for path in Path(boot.RESULTS).iterdir():
        path.unlink()
    Path(boot.RESULTS).rmdir()


# ---- addresses return --------------------------------------------------------------------------


def test_a_full_range_serves_new_containers_at_once(full: Network) -> None:
    assert {full.add(f"new{number}") for number in range(len(HELD))} == set(HELD)
    assert full.fails("add", "one-more").code == NO_ADDRESS
    full.check_index(must_be_current=True)


def test_the_same_container_adds_again(full: Network) -> None:
    for number in range(len(HELD)):
        full.add(f"c{number}")
    assert sorted(full.held) == HELD
    assert full.fails("add", "c0").code == DUPLICATE, "twice in one boot is still refused"


def test_stale_addresses_return_where_the_range_is_not_full(network: Network) -> None:
    network.add("old")
    reboot(network.directory)
    network.add("new")
    assert list(network.held.values()) == ["new\r\neth0"]


def test_an_address_that_is_asked_for_is_to_be_had_again(full: Network) -> None:
    """So who gives a container its address (CNI_ARGS, `ips`) finds it free after each reboot."""
    assert full.add("sticky", args="IP=10.1.2.4") == "10.1.2.4"
    assert full.fails("add", "other", args="IP=10.1.2.4").code == DUPLICATE
    reboot(full.directory)
    assert full.add("sticky", args="IP=10.1.2.4") == "10.1.2.4"


def test_the_round_robin_goes_on(network: Network) -> None:
    network.add("c1")
    reboot(network.directory)
    assert network.add("c2") == "10.1.2.3", "not the one that peers may still have in their tables"


@pytest.mark.parametrize("verb", ["delete", "check", "gc"])
def test_whichever_verb_comes_first(full: Network, verb: str) -> None:
    """Runtimes tear down what died before they start anything."""
    try:
        getattr(full, verb)(*(() if verb == "gc" else ("c9",)))
    except PluginError:
        assert verb == "check"
    assert {full.add(f"new{number}") for number in range(len(HELD))} == set(HELD)


def test_a_late_del_does_not_take_the_address_from_its_new_holder(full: Network) -> None:
    taken = {full.add(f"new{number}") for number in range(len(HELD))}
    for number in range(len(HELD)):
        full.delete(f"c{number}")
    assert set(full.held) == taken


def test_status_sees_the_room(full: Network) -> None:
    full.ipam["reportExhaustion"] = True
    full.status()


def test_torn_reservations_return(network: Network) -> None:
    """As the reference leaves them where it is killed between two calls, or the power fails."""
    network.fill(HELD[1:])
    network.write(HELD[0], b"")
    assert network.add("new") == HELD[0]


def test_the_references_reservations_return_at_the_second_reboot(network: Network) -> None:
    """They do not say of which boot they are: of that in which they were first seen, at most."""
    for number in range(len(HELD)):
        assert "code" not in reference("ADD", network, f"c{number}")
    reboot(network.directory)
    assert network.fails("add", "new").code == NO_ADDRESS
    reboot(network.directory)
    assert network.add("new") in HELD


def test_of_many_none_is_forgotten(network: Network) -> None:
    network.ranges([V4])
    for number in range(253):
        network.add(f"c{number}")
    reboot(network.directory)
    network.add("new")
    assert list(network.held.values()) == ["new\r\neth0"]


# ---- nothing that lives is released ------------------------------------------------------------


def test_nothing_is_released_in_the_same_boot(network: Network) -> None:
    network.add("c1")
    remove_indexes("net")  # whoever cleans /run does not make a reboot
    network.add("c2")
    assert sorted(network.held.values()) == ["c1\r\neth0", "c2\r\neth0"]


def test_another_machines_reservations_stay(network: Network) -> None:
    """A directory on a network file system: the other machine's boot is not ours."""
    network.add("c1")
    reboot(network.directory, machine_id=b"00c0ffee")
    network.add("c2")
    assert sorted(network.held.values()) == ["c1\r\neth0", "c2\r\neth0"]


def test_a_boot_id_that_is_a_containers_own_releases_nothing(full: Network, tmp_path: Path) -> None:
    """As systemd-nspawn mounts one: that container's start is no reboot of what else uses this."""
    own = tmp_path / "boot_id"
    own.write_text("7d5b8d5e-2f6e-4a53-9d0a-000000000000\n")
    mount(str(own), Path(boot.BOOT_ID), "none", MS_BIND)
    try:
        script = "from cni_host_local import boot; print(repr(boot.this_boot()))"
        python = Path(__file__).parents[2] / ".venv" / "bin" / "python"
        found = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
        assert found.stdout == "b''\n"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(boot, "_now", None)  # a process that has not looked yet
            assert full.fails("add", "new").code == NO_ADDRESS
    finally:
        libc("umount2", boot.BOOT_ID.encode(), MNT_DETACH)


def test_a_container_whose_namespace_is_there_keeps_its_address(
    full: Network, cached: None
) -> None:
    remember(full, "c1", full.netns)
    addresses = {full.add(f"new{number}") for number in range(len(HELD) - 1)}
    assert addresses == set(HELD) - {"10.1.2.3"}
    assert full.held["10.1.2.3"] == "c1\r\neth0"
    assert full.fails("add", "one-more").code == NO_ADDRESS
    full.delete("c1")
    assert full.add("one-more") == "10.1.2.3"


@pytest.mark.parametrize("gone", ["/nowhere/netns", "/proc/self/ns/net", "a file", ""])
def test_a_namespace_that_is_no_more_proves_nothing(
    full: Network, tmp_path: Path, cached: None, gone: str
) -> None:
    """A file that nothing is mounted on, or a process of the host's with the number of old."""
    path = tmp_path / "old-netns"
    path.touch()
    remember(full, "c1", path if gone == "a file" else Path(gone))
    full.add("new")
    assert list(full.held.values()) == ["new\r\neth0"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"netns": 5}', b'{"netns": "a\\u0000b"}'])
def test_a_torn_entry_of_the_cache_proves_nothing(
    full: Network, cached: None, content: bytes
) -> None:
    remember(full, "c1", full.netns).write_bytes(content)
    full.add("new")
    assert list(full.held.values()) == ["new\r\neth0"]


def test_a_container_whose_namespace_was_made_anew_adds_again(full: Network, cached: None) -> None:
    """Its namespace has the old one's name, before ADD is called."""
    remember(full, "c1", full.netns)
    full.add("new")
    full.add("c1")
    assert sorted(full.held.values()) == ["c1\r\neth0", "new\r\neth0"]


def test_what_gc_was_told_is_valid_stays(full: Network) -> None:
    full.gc(("c1", "eth0"))
    assert full.held == {"10.1.2.3": "c1\r\neth0"}


def test_a_full_range_after_gc_kept_all_of_it(full: Network) -> None:
    """The runtime lists what it has not torn down yet. Who asks for an address gets one."""
    full.gc(*((f"c{number}", "eth0") for number in range(len(HELD))))
    assert sorted(full.held) == HELD
    full.add("new")
    assert list(full.held.values()) == ["new\r\neth0"]


@pytest.mark.parametrize("note", ["kept for the printer, Bob", "printer"])
def test_what_was_written_by_hand_stays(network: Network, note: str) -> None:
    network.write("10.1.2.2", note)
    for _ in range(3):
        network.add("c1")
        reboot(network.directory)
    assert network.held["10.1.2.2"] == note


# ---- the switch --------------------------------------------------------------------------------


def test_it_can_be_switched_off(full: Network) -> None:
    full.ipam["releaseOnReboot"] = False
    assert full.fails("add", "new").code == NO_ADDRESS
    assert full.fails("add", "c1").code == DUPLICATE
    full.delete("c1")
    assert full.add("new") == "10.1.2.3"


@pytest.mark.parametrize("verb", ["delete", "gc"])
def test_a_switch_that_is_wrong_counts_as_off(full: Network, verb: str) -> None:
    """DEL and GC work with what became wrong, and then release nothing of themselves."""
    full.ipam["releaseOnReboot"] = "yes"
    if verb == "gc":
        full.gc(("c1", "eth0"), ("c2", "eth0"))
    else:
        full.delete("c0")
    assert {"10.1.2.3", "10.1.2.4"} <= set(full.held)


# ---- where it is kept --------------------------------------------------------------------------


def test_a_file_system_without_attributes(network: Network) -> None:
    """Then all stays until DEL or GC, as with the reference."""
    network.add("c1")
    os.removexattr(network.directory / "10.1.2.2", boot.ATTRIBUTE)
    network.write("10.1.2.2", "c1")  # nor is it adopted in the older format
    remove_indexes("net")
    network.add("c2")
    reboot(network.directory)
    network.add("c3")
    assert sorted(network.held.values()) == ["c1", "c3\r\neth0"]


def test_what_a_mark_says(network: Network) -> None:
    network.add("c1")
    mark = os.getxattr(network.directory / "10.1.2.2", boot.ATTRIBUTE)
    assert re.fullmatch(rb"[0-9a-f]{8}\.[0-9a-f]{32}", mark)
    assert mark == boot.this_boot()
    assert boot.this_boot().endswith(boot.boot_id().replace("-", "").encode())


@pytest.mark.parametrize("mark", [b"", b"x", b"0" * 41, b"." * 41])
def test_what_is_no_mark_releases_nothing(network: Network, mark: bytes) -> None:
    network.add("c1")
    os.setxattr(network.directory / "10.1.2.2", boot.ATTRIBUTE, mark)
    remove_indexes("net")
    network.add("c2")
    assert sorted(network.held.values()) == ["c1\r\neth0", "c2\r\neth0"]


# ---- all else that plugins keep ----------------------------------------------------------------


class Chain:
    """A network of the plugins that keep something, and one container on it."""

    def __init__(self, host: Host, runtime: Runtime) -> None:
        self.runtime = runtime
        self.data = host.state / "networks"
        self.run = host.state / "run"
        ipam = {"type": "host-local", "dataDir": str(self.data), "ranges": [[SMALL]]}
        common = {"cniVersion": "1.1.0", "name": "net"}
        self.plugins: list[Document] = [
            {**common, "type": "bridge", "bridge": "cni0", "ipMasq": True, "isGateway": True}
            | {"ipam": ipam},
            {**common, "type": "portmap"},
            {**common, "type": "firewall"},
            {**common, "type": "tuning", "mtu": 1400, "dataDir": str(self.run)},
            {**common, "type": "bandwidth", "egressRate": 8_000_000, "egressBurst": 800_000},
        ]

    def add(self, netns: Namespace, container: str = "c1") -> Document:
        result: Document = {}
        for plugin in self.plugins:
            config = {**plugin, "prevResult": result} if result else plugin
            if plugin["type"] == "portmap":
                port = {"hostPort": 8080 + int(container[1:]), "containerPort": 80}
                config["runtimeConfig"] = {"portMappings": [{**port, "protocol": "tcp"}]}
            result = self.runtime.add(config, container=container, netns=netns)
        return result

    def delete(self, container: str = "c1") -> None:
        for plugin in reversed(self.plugins):
            self.runtime.delete(plugin, container=container)

    def gc(self) -> None:
        for plugin in self.plugins:
            self.runtime.gc(plugin, [])

    def status(self) -> None:
        for plugin in self.plugins:
            self.runtime.status(plugin)


@pytest.fixture
def chain(host: Host, tmp_path: Path) -> Iterator[Chain]:
    """Attached on a host that is rebooted then: its namespaces and /run are gone, files are not."""
    made = Chain(host, Runtime(tmp_path))
    for container in ("c1", "c2"):
        made.add(host.container(), container)
    host.share("*")  # the namespace goes, with all that is in it
    reboot(made.data / "net")
    shutil.rmtree(made.run)
    yield made
    remove_indexes("net")


def test_the_same_container_comes_up_with_everything(host: Host, chain: Chain) -> None:
    now, netns = host.container("now"), host.container("new")
    now.run(chain.status)
    result = now.run(chain.add, netns)
    assert [path.name for path in sorted((chain.data / "net").glob("1*"))] == ["10.1.2.4"]
    assert result["ips"][0]["address"].startswith("10.1.2.4/")
    rules = now.command("nft", "list", "ruleset").stdout
    assert "net/c1/eth0" in rules
    assert "net/c2/eth0" not in rules


@pytest.mark.parametrize("verb", ["delete", "gc"])
def test_what_died_is_cleaned_up(host: Host, chain: Chain, verb: str) -> None:
    """By the runtime's DEL of each, or by one GC; also where nothing is there to be removed."""
    now = host.container("now")
    if verb == "gc":
        now.run(chain.gc)
    else:
        for container in ("c1", "c2"):
            now.run(chain.delete, container)
    assert list((chain.data / "net").glob("1*")) == []
    assert not chain.run.exists() or list(chain.run.iterdir()) == []
    assert now.command("nft", "list", "ruleset").stdout == ""


def test_gc_after_a_reboot_leaves_what_is_listed(host: Host, chain: Chain) -> None:
    now, netns = host.container("now"), host.container("new")
    now.run(chain.add, netns, "c3")
    before = now.command("nft", "list", "ruleset").stdout
    for plugin in chain.plugins:
        now.run(chain.runtime.gc, plugin, [("c3", "eth0")])
    assert now.command("nft", "list", "ruleset").stdout == before
    assert [path.read_text() for path in (chain.data / "net").glob("1*")] == ["c3\neth0"]
