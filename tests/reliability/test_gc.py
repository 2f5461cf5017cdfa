"""GC: what is not on the runtime's list goes, and nothing else, whatever fails meanwhile.

A network has an attachment A, which stays on the list. The host has attachments of other networks,
of the reference suite, and rules, links and files of its user. That is what there is before B is
attached too; when GC has run, the same is there again, line for line.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import libcni
from cni.errors import CniError
from tests.kit import iptables, leaks
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.contract import REFERENCE, reference
from tests.kit.faults import Fault, no_buffers, with_fault
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.tables import Publish
from tests.reliability.check.served import ServedRuntime

pytestmark = pytest.mark.timeout(300)

_OF_ITSELF = re.compile(r"fe80::|ff00::|ff02::")
"""What the kernel adds to a link in its own time."""
_COUNTED = re.compile(r'"counter": \{[^}]*\}|(?<= holders ).*')
"""Packets, and how many attachments share an element."""


class Scene:
    """The host, with all that GC must leave alone, and libcni's runtime on it."""

    def __init__(self, host: Host, runtime: Runtime, plugins: list[Document]) -> None:
        self.host = host
        self.calls = runtime
        self.plugins = plugins
        self.known = ServedRuntime(runtime, host.state / "cache")
        self.forgetful = ServedRuntime(runtime, host.state / "other-cache")
        """What it has attached, `known` knows nothing of: only the plugins can remove it."""
        self.spaces: dict[str, Namespace] = {}

    def network(self, name: str = "net", version: str = "1.1.0") -> libcni.NetworkConfigList:
        document = {"cniVersion": version, "name": name, "plugins": self.plugins}
        return libcni.network_from_bytes(json.dumps(document).encode())

    def attachment(self, container: str, number: int) -> libcni.Attachment:
        space = self.spaces.setdefault(container, self.host.container())
        return libcni.Attachment(
            container,
            str(space),
            capability_args={
                "ips": [f"10.1.0.{number}/16", f"2001:db8::{number:x}/64"],
                "portMappings": [{"hostPort": 8000 + number, "containerPort": 80}],
            },
        )

    def snapshot(self) -> set[str]:
        """What is on the host, in the containers and in files, without what happens of itself."""
        found = leaks.of_namespace() | leaks.of_directories([self.host.state])
        found |= {f"{self.contents(one)}" for one in self.host.state.rglob("10.*")}
        if "a" in self.spaces:
            inside = self.spaces["a"].run(leaks.of_namespace)
            found |= {f"in A: {one}" for one in inside}
        return {
            _COUNTED.sub("counted", one)
            for one in found
            if not _OF_ITSELF.search(one) and "/cache/" not in one and "-cache/" not in one
        }

    @staticmethod
    def contents(path: Path) -> str:
        return f"content {path} {path.read_text()!r}"

    def end(self) -> None:
        for name, container, number in (("net", "a", 2), ("net2", "o", 3)):
            self.known.delete(self.network(name), self.attachment(container, number))


@pytest.fixture
def scene(host: Host, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes the scene for a network of these plugins; takes it down at the end."""
    for bridge in ("cni0", "refbr0"):
        host.share_bridge(bridge)
    host.share_nft()
    host.share_locks()
    host.share("file */cache/*", "file */other-cache/*", "file */tuning/")
    iptables.share(host)
    host.share("nft * ip* nat *", "nft * ip* filter *", "nft * ip* raw *")
    made: list[Scene] = []

    def make(plugins: list[Document]) -> Scene:
        made.append(Scene(host, Runtime(tmp_path), plugins))
        made[0].known.add(made[0].network(), made[0].attachment("a", 2))
        made[0].known.add(made[0].network("net2"), made[0].attachment("o", 3))
        settle_down(host)
        return made[0]

    yield make
    made[0].end()
    clear_away(host)


USERS = (
    "ip link add name vethuser type veth peer name vethuser2",
    "ip link set vethuser2 alias net/x",  # two parts: no attachment's
    "ip link set vethuser alias network/x/eth0",  # a name that begins alike
    "nft add table inet users",
    "nft add set inet users theirs { type ipv4_addr; }",
    "nft add element inet users theirs { 10.1.0.7 }",
    "iptables -t nat -A POSTROUTING -s 10.1.0.7 -j MASQUERADE",
)


def settle_down(host: Host) -> None:
    """What a user and the reference suite have on the host."""
    for line in USERS:
        host.command(*line.split())
    notes = host.state / "net" / "notes"
    notes.parent.mkdir(exist_ok=True)
    notes.write_text("of the user\n")
    if REFERENCE.exists():
        host.container("reference")
        reference("ADD", referenced(host), host.containers[-1])


def referenced(host: Host) -> Document:
    ipam = {"type": "host-local", "subnet": "10.8.0.0/24", "dataDir": str(host.state / "theirs")}
    return {
        "cniVersion": "1.0.0",
        "name": "refnet",
        "type": "bridge",
        "bridge": "refbr0",
        "isGateway": True,
        "ipMasq": True,
        "ipam": ipam,
    }


def clear_away(host: Host) -> None:
    if REFERENCE.exists():
        (theirs,) = (one for one in host.containers if one.path.name == "reference")
        reference("DEL", referenced(host), theirs)
    host.command("ip", "link", "delete", "vethuser")
    host.command("nft", "delete", "table", "inet", "users")
    (host.state / "net" / "notes").unlink()


def local(host: Host) -> Document:
    ranges = [[{"subnet": "10.1.0.0/16"}], [{"subnet": "2001:db8::/64"}]]
    return {"type": "host-local", "dataDir": str(host.state), "ranges": ranges}


def bridge(host: Host, backend: str = "nftables") -> Document:
    return {
        "type": "bridge",
        "isGateway": True,
        "ipMasq": True,
        "ipMasqBackend": backend,
        "macspoofchk": True,
        "capabilities": {"ips": True},
        "ipam": local(host),
    }


def chained(host: Host, backend: str) -> list[Document]:
    return [
        bridge(host, backend),
        {"type": "tuning", "mtu": 1400, "dataDir": str(host.state / "tuning")},
        {"type": "portmap", "backend": backend, "capabilities": {"portMappings": True}},
        {"type": "firewall", "backend": backend, "ingressPolicy": "isolated"},
        {"type": "bandwidth", "ingressRate": 20_000_000, "egressRate": 40_000_000},
    ]


def listed(*containers: str, spelling: str = "cni.dev/valid-attachments") -> Document:
    return {spelling: [{"containerID": one, "ifname": "eth0"} for one in containers]}


def gc(scene: Scene, plugin: Document, keep: Document, version: str = "1.1.0") -> None:
    """GC of one plugin, as a runtime sends it."""
    document = {"cniVersion": version, "name": "net", **plugin, **keep}
    environ = {"CNI_CONTAINERID": "", "CNI_IFNAME": ""}
    assert scene.calls.call("GC", document, environ=environ) is None


def summary(gone: set[str]) -> str:
    """What a GC has removed, in words."""
    kinds: Counter[str] = Counter()
    for line in gone:
        words = line.split()
        if words[:2] == ["nft", "element"]:
            kinds[f"elements of `{words[2]} {words[3]}`"] += 1
        elif words[0] == "nft":
            kinds[f"{words[1]}s of `{words[2]} {words[3]}`"] += 1
        elif words[0] == "file":
            kinds["the backup" if "/tuning/" in line else "reservations"] += 1
        elif words[0] == "link":
            kinds[f"the {'host end' if words[2] == 'veth' else words[2]}"] += 1
    return ", ".join(
        f"{count} {kind}" if count > 1 else kind for kind, count in sorted(kinds.items())
    )


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_each_plugin_removes_its_own_and_nothing_else(
    backend: str, host: Host, scene: Callable[..., Scene], publish: Publish
) -> None:
    stage = scene(chained(host, backend))
    before = stage.snapshot()
    stage.forgetful.add(stage.network(), stage.attachment("b", 4))
    now = stage.snapshot()
    assert before < now
    rows = []
    for plugin in stage.plugins[::-1]:
        gc(stage, plugin, listed("a"))
        after = stage.snapshot()
        assert after < now, f"{plugin['type']} removes nothing, or adds {sorted(after - now)}"
        assert before <= after, f"{plugin['type']} has removed {sorted(before - after)}"
        rows.append((plugin["type"], backend, summary(now - after)))
        now = after
    assert now == before, f"left: {sorted(now - before)}"
    gc(stage, stage.plugins[0], listed("a"))
    assert stage.snapshot() == before
    stage.known.check(stage.network(), stage.attachment("a", 2))
    publish(f"gc-{backend}", ("plugin", "backend", "what GC removes of an attachment"), rows)


@pytest.mark.parametrize("spelling", ["cni.dev/valid-attachments", "cni.dev/attachments"])
@pytest.mark.parametrize("namespace", ["there", "gone"])
def test_both_spellings_and_namespaces(
    spelling: str, namespace: str, host: Host, scene: Callable[..., Scene]
) -> None:
    stage = scene([bridge(host)])
    before = stage.snapshot()
    stage.forgetful.add(stage.network(), stage.attachment("b", 4))
    if namespace == "gone":
        stage.spaces["b"].close()
    gc(stage, stage.plugins[0], listed("a", spelling=spelling))
    assert stage.snapshot() == before


def test_ptp_and_what_is_plugged_nowhere(host: Host, scene: Callable[..., Scene]) -> None:
    """B's host end hangs on no bridge any more, or never did; A's has another name."""
    stage = scene([bridge(host)])
    before = stage.snapshot()
    for plugins in ([{**bridge(host), "type": "ptp", "macspoofchk": False}], [bridge(host)]):
        stage.plugins = plugins
        stage.forgetful.add(stage.network(), stage.attachment("b", 4))
        for name, link in host.links().items():
            if link.get("ifalias") == "net/b/eth0" and "master" in link:
                host.command("ip", "link", "set", name, "nomaster")
        gc(stage, stage.plugins[0], listed("a"))
        assert stage.snapshot() == before
    (port,) = (name for name, one in host.links().items() if one.get("ifalias") == "net/a/eth0")
    host.command("ip", "link", "set", port, "down")
    host.command("ip", "link", "set", port, "name", "renamed")
    gc(stage, stage.plugins[0], listed("a"))
    assert "renamed" in host.links()
    host.command("ip", "link", "set", "renamed", "name", port, "up")


def test_libcni_deletes_what_it_knows(host: Host, scene: Callable[..., Scene]) -> None:
    stage = scene(chained(host, "nftables"))
    before = stage.snapshot()
    stage.known.add(stage.network(), stage.attachment("b", 4))
    stage.forgetful.add(stage.network(), stage.attachment("c", 5))
    stage.known.gc(stage.network(), [libcni.AttachmentKey("a", "eth0")])
    assert stage.snapshot() == before
    assert {one.container_id for one in stage.known.attachments()} == {"a", "o"}


def test_before_1_1_0_only_what_libcni_knows(host: Host, scene: Callable[..., Scene]) -> None:
    """A plugin hears no GC then, and answers one that it hears all the same."""
    stage = scene([bridge(host)])
    before = stage.snapshot()
    old = stage.network(version="1.0.0")
    stage.known.add(old, stage.attachment("b", 4))
    stage.known.gc(old, [libcni.AttachmentKey("a", "eth0")])
    assert stage.snapshot() == before
    stage.forgetful.add(old, stage.attachment("b", 4))
    with_b = stage.snapshot()
    stage.known.gc(old, [libcni.AttachmentKey("a", "eth0")])
    assert stage.snapshot() == with_b
    stage.known.gc(stage.network(), [libcni.AttachmentKey("a", "eth0")])
    assert stage.snapshot() == before


def test_a_delegate_that_fails_is_reported_and_holds_nothing_up(
    host: Host, scene: Callable[..., Scene], tmp_path: Path
) -> None:
    stage = scene([bridge(host)])
    before = stage.snapshot()
    fake = FakeIpam(stage.calls, tmp_path)
    failing = fake.section("10.1.0.4/16", fail=["GC"])
    stage.plugins = [{**bridge(host), "ipam": failing}]
    stage.forgetful.add(stage.network(), stage.attachment("b", 4))
    with pytest.raises(PluginError, match="told to fail"):
        gc(stage, stage.plugins[0], listed("a"))
    assert stage.snapshot() == before
    assert fake.calls == ["ADD b", "GC "]
    (tmp_path / "ipam.log").unlink()
    stage.plugins = [bridge(host)]


@pytest.mark.parametrize("plugin", ["bridge", "portmap", "firewall", "bandwidth"])
@pytest.mark.parametrize("method", ["_send", "_receive"])
def test_one_that_cannot_be_removed_does_not_keep_the_others(
    method: str, plugin: str, whole: bool, host: Host, scene: Callable[..., Scene]
) -> None:
    """Whichever message is lost: what is still there is told of, and not all of it is there."""
    chain = chained(host, "nftables")
    stage = scene([chain[0], *(one for one in chain[1:] if one["type"] == plugin)])
    config = stage.plugins[-1]
    without = stage.snapshot()
    owners = {"b": 4, "c": 5}
    attachments = [stage.attachment(*one) for one in owners.items()]
    parts = 0
    for at in range(1, 500, 1 if whole else 20):
        for one in attachments:
            stage.forgetful.add(stage.network(), one)
        crowded = stage.snapshot()
        fault = Fault(method, at, no_buffers)
        failed = ""
        try:
            with_fault(fault, lambda: gc(stage, config, listed("a")))
        except PluginError as error:
            failed = error.msg
        left = stage.snapshot()
        gc(stage, config, listed("a"))
        kept = left - stage.snapshot()
        assert failed or not kept, f"message {at} is lost, and nobody is told of {sorted(kept)}"
        parts += bool(kept) and crowded != left
        for one in attachments:
            stage.forgetful.delete(stage.network(), one)
        if not fault.struck():
            break
    assert stage.snapshot() == without
    assert parts or not whole, "all went or all stayed"


def test_all_failures_are_told(host: Host, scene: Callable[..., Scene], tmp_path: Path) -> None:
    """Those of plugins by libcni, and those of a plugin in its own error."""
    stage = scene([bridge(host)])
    fake = FakeIpam(stage.calls, tmp_path)
    failing = fake.section("10.1.0.4/16", fail=["GC"])
    stage.plugins = [
        {**bridge(host), "ipam": failing},
        {"type": "tuning", "dataDir": "/proc/none"},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "missing-plugin"},
    ]
    with pytest.raises(CniError) as caught:
        stage.known.gc(stage.network(), [libcni.AttachmentKey("a", "eth0")])
    for words in ("told to fail", "missing-plugin"):
        assert words in caught.value.msg
    (tmp_path / "ipam.log").unlink()
    stage.plugins = [bridge(host)]


SINGLE: dict[str, dict[str, Any]] = {"tap": {}, "macvlan": {"master": "up0"}, "ptp": {}}


@pytest.mark.parametrize("plugin", SINGLE)
def test_plugins_with_nothing_but_addresses_on_the_host(
    plugin: str, host: Host, scene: Callable[..., Scene]
) -> None:
    host.command("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    host.command("ip", "link", "set", "up0", "up")
    stage = scene([bridge(host)])
    before = stage.snapshot()
    stage.plugins = [
        {"type": plugin, **SINGLE[plugin], "capabilities": {"ips": True}, "ipam": local(host)}
    ]
    stage.forgetful.add(stage.network(), stage.attachment("b", 4))
    with_b = stage.snapshot()
    gc(stage, stage.plugins[0], listed("a", "b"))
    assert stage.snapshot() == with_b
    stage.spaces["b"].close()  # with which its link goes
    gc(stage, stage.plugins[0], listed("a"))
    assert stage.snapshot() == before
    stage.plugins = [bridge(host)]
    host.command("ip", "link", "delete", "up0")


@pytest.mark.parametrize("plugin", ["sbr", "loopback", "static", "vrf"])
def test_plugins_without_anything_on_the_host(
    plugin: str, host: Host, scene: Callable[..., Scene]
) -> None:
    stage = scene([bridge(host)])
    before = stage.snapshot()
    gc(stage, {"type": plugin, "vrfname": "blue"}, listed())
    assert stage.snapshot() == before
