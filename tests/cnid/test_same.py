"""Warm is as cold: stdout, stderr and the exit status are the same bytes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cni import about
from tests.cnid.daemon import Answer, Daemon, Suite
from tests.kit.host import Host
from tests.kit.versions import SPEC_VERSIONS

WAYS = ("cold", "warm")
MAC = re.compile(rb"([0-9a-f]{2}:){5}[0-9a-f]{2}")
HELD = [{"containerID": "c1", "ifname": "eth0"}]


class Both:
    """Calls in the same order, first cold, then warm, and everything gone between the two."""

    def __init__(self, host: Host, suite: Suite, daemon: Daemon) -> None:
        self.host = host
        self.suite = suite
        self.daemon = daemon
        self.container = host.container()
        self.way = ""
        self.answers: dict[str, list[tuple[str, Answer]]] = {way: [] for way in WAYS}

    def start(self, way: str) -> None:
        self.way = way
        shutil.rmtree(self.host.state / "networks", ignore_errors=True)
        shutil.rmtree("/run/cni/ipam-index", ignore_errors=True)
        self.host.command("ip", "link", "del", "cni0", check=False)
        self.host.command("nft", "flush", "ruleset")

    def network(self, **keys: Any) -> dict[str, Any]:
        """A bridge network's config."""
        ranges = [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00:1::/64"}]]
        ipam = {
            "type": "host-local",
            "ranges": ranges,
            "dataDir": str(self.host.state / "networks"),
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        config = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "ipam": ipam}
        return {**config, "isGateway": True, "ipMasq": True, **keys}

    def call(self, command: str, config: dict[str, Any] | bytes, **how: Any) -> Any:
        """The answer's document, which the next call may need."""
        if self.way == "warm":
            answer = self.suite.call(command, config, self.container, **how)
        else:
            answer = self.suite.cold(command, config, self.container, **how)
        self.answers[self.way].append((f"{command} {how} {config!r}", answer))
        return answer.document

    def compare(self, warm: int | None = None) -> list[int]:
        """Compare all; gives the error codes. warm: how many the daemon served, if not all."""
        cold, served = self.answers["cold"], self.answers["warm"]
        assert len(cold) == len(served)
        for (what, one), (_, other) in zip(cold, served, strict=True):
            assert _plain(one) == _plain(other), what
        self.daemon.calls(len(served) if warm is None else warm)
        assert len(self.suite.cold_runs()) == 2 * len(served) - (
            len(served) if warm is None else warm
        )
        return [answer.code for _, answer in served]


def _plain(answer: Answer) -> Answer:
    """What is random made the same."""
    return answer._replace(stdout=MAC.sub(b"MAC", answer.stdout))


@pytest.fixture
def both(host: Host, suite: Suite, daemon: Daemon) -> Both:
    return Both(host, suite, daemon)


def test_every_verb_of_a_chain(both: Both) -> None:
    portmap = {
        "type": "portmap",
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]},
    }
    for way in WAYS:
        both.start(way)
        network = both.network()
        ports = {**network, **portmap}
        both.call("STATUS", network)
        both.call("STATUS", ports)
        attached = both.call("ADD", network)
        both.call("CHECK", {**network, "prevResult": attached})
        result = both.call("ADD", {**ports, "prevResult": attached})
        assert result["ips"] == attached["ips"], result
        both.call("CHECK", {**ports, "prevResult": result})
        both.call("GC", {**network, "cni.dev/valid-attachments": HELD})
        both.call("GC", {**ports, "cni.dev/valid-attachments": HELD})
        # What fails.
        both.call("ADD", network)
        both.call("ADD", {**ports, "prevResult": result}, environ={"CNI_CONTAINERID": "c2"})
        both.call("DEL", {**ports, "prevResult": result})
        both.call("CHECK", {**ports, "prevResult": result})
        both.call("DEL", network)
        both.call("CHECK", {**network, "prevResult": attached})
        # Nothing is there any more.
        both.call("DEL", ports)
        both.call("DEL", network)
        both.call("GC", {**network, "cni.dev/valid-attachments": []})
    codes = both.compare()
    assert codes[:8] == [0] * 8
    assert all(codes[at] for at in (8, 9, 11, 13)), codes
    assert not any(codes[at] for at in (10, 12, 14, 15, 16)), codes


@pytest.mark.parametrize("mode", ["l3", "l2"])
def test_every_verb_of_an_overlay(mode: str, both: Both) -> None:
    both.host.command("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
    both.host.command("ip", "link", "set", "wire0", "up")
    both.host.command("ip", "address", "add", "192.0.2.1/24", "dev", "wire0")
    both.host.share("nft element inet pycni_vxlan *")
    for way in WAYS:
        both.start(way)
        network = overlay(both.network(), mode)
        both.call("STATUS", network)
        attached = both.call("ADD", network)
        both.call("CHECK", {**network, "prevResult": attached})
        both.call("ADD", network)
        both.call("ADD", {**network, "mtu": 65535}, environ={"CNI_CONTAINERID": "c2"})
        both.call("GC", {**network, "cni.dev/valid-attachments": HELD})
        both.call("DEL", network)
        both.call("CHECK", {**network, "prevResult": attached})
        both.call("DEL", network)
        both.call("GC", {**network, "cni.dev/valid-attachments": []})
        for name in ("vxlan42", "vxbr42"):
            both.host.command("ip", "link", "del", name, check=mode == "l3")
    both.host.command("ip", "link", "del", "wire0")
    codes = both.compare()
    assert [bool(code) for code in codes] == [False] * 3 + [True] * 2 + [False] * 2 + [
        True,
        False,
        False,
    ]


def overlay(network: dict[str, Any], mode: str) -> dict[str, Any]:
    """A network's config as an overlay of two hosts."""
    nodes: list[dict[str, Any]] = [{"address": "192.0.2.1"}, {"address": "192.0.2.2"}]
    keys: dict[str, Any] = {"type": "vxlan", "vni": 42, "mode": mode}
    keys["peers"] = {"type": "static", "nodes": nodes}
    if mode == "l3":
        keys["network"] = ["10.1.0.0/16"]
        keys["ipam"] = {key: network["ipam"][key] for key in ("type", "dataDir", "routes")}
        for number, node in enumerate(nodes):
            node["subnets"] = [f"10.1.{number}.0/24"]
    return {**network, **keys}


def test_every_verb_of_an_ipam_plugin_and_of_loopback(both: Both) -> None:
    loopback = {"cniVersion": "1.1.0", "name": "lo", "type": "loopback"}
    here = {"CNI_IFNAME": "lo"}
    for way in WAYS:
        both.start(way)
        ipam = {**both.network(), "type": "host-local"}
        both.call("STATUS", ipam)
        result = both.call("ADD", ipam)
        both.call("CHECK", {**ipam, "prevResult": result})
        both.call("ADD", ipam)
        both.call("GC", {**ipam, "cni.dev/valid-attachments": HELD})
        both.call("DEL", ipam)
        both.call("CHECK", {**ipam, "prevResult": result})
        both.call("DEL", ipam)
        result = both.call("ADD", loopback, environ=here)
        both.call("CHECK", {**loopback, "prevResult": result}, environ=here)
        both.call("STATUS", loopback)
        both.call("GC", {**loopback, "cni.dev/valid-attachments": []})
        both.call("DEL", loopback, environ=here)
        both.call("CHECK", {**loopback, "prevResult": result}, environ=here)
    codes = both.compare()
    assert [bool(code) for code in codes] == [
        *(False, False, False, True, False, False, True, False),
        *(False, False, False, False, False, True),
    ]
    both.container.command("ip", "link", "set", "lo", "up")


@pytest.mark.parametrize("netns", ["/dev/null", "/some/where"])
def test_plugins_that_enter_no_namespace_need_none(netns: str, both: Both) -> None:
    """/dev/null is what the reference's manual tries host-local with."""
    ips = [{"address": "10.1.0.9/16", "interface": 0}]
    made = {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": netns}], "ips": ips}
    ports = [{"hostPort": 8080, "containerPort": 80}]
    for way in WAYS:
        both.start(way)
        network = both.network()
        for keys in (
            {"type": "host-local"},
            {"type": "portmap", "prevResult": made, "runtimeConfig": {"portMappings": ports}},
        ):
            config = {**network, **keys}
            result = both.call("ADD", config, environ={"CNI_NETNS": netns})
            both.call("CHECK", {**config, "prevResult": result}, environ={"CNI_NETNS": netns})
            both.call("DEL", config, environ={"CNI_NETNS": netns})
    assert both.compare() == [0] * 6


def test_every_version_of_the_specification(both: Both) -> None:
    for way in WAYS:
        both.start(way)
        for version in SPEC_VERSIONS:
            network = both.network(cniVersion=version)
            result = both.call("ADD", network)
            assert result["cniVersion"] == version
            both.call("CHECK", {**network, "prevResult": result})
            both.call("STATUS", network)
            both.call("DEL", network)
    codes = both.compare()
    assert codes[0::4] == codes[3::4] == [0] * len(SPEC_VERSIONS)
    assert set(codes[1::4]) == set(codes[2::4]) == {0, 1}, "older versions know no CHECK, no STATUS"


def test_every_kind_of_bad_call(both: Both) -> None:
    for way in WAYS:
        both.start(way)
        network = both.network()
        for stdin in (b"", b"{", b"[]", b"\xff", b'{"name": 7}', b"[" * 100_000, b'{"a":1e999}'):
            both.call("ADD", stdin, plugin="bridge")
        for wrong in (
            {"cniVersion": "9.0.0"},
            {"name": "../x"},
            {"mtu": "large"},
            {"ipam": {"type": "missing"}},
            {"ipam": {"type": "a/b"}},
        ):
            both.call("ADD", {**network, **wrong})
        for name, value in (
            ("CNI_CONTAINERID", ""),
            ("CNI_CONTAINERID", "a/b"),
            ("CNI_IFNAME", "sixteen-letters-"),
            ("CNI_IFNAME", "\udcff"),
            ("CNI_NETNS", ""),
            ("CNI_NETNS", "/etc/passwd"),
            ("CNI_NETNS", "/nowhere"),
            ("CNI_NETNS", "/proc/self/ns/net"),
            ("CNI_PATH", ""),
            ("CNI_ARGS", "nonsense"),
            ("CNI_ARGS", "K=V"),
        ):
            both.call("ADD", network, environ={name: value})
        both.call("GC", network)
        both.call("ADD", {"cniVersion": "1.1.0", "name": "n", "type": "probe", "do": "say"})
    codes = both.compare()
    assert all(codes)
    served = both.answers["warm"][-1][1]
    assert b"KeyError: 'c1'" in served.stderr, "a defect is told whole"


@pytest.mark.parametrize("command", ["", "NONE", "add"])
def test_a_verb_that_is_none_runs_cold(command: str, both: Both) -> None:
    for way in WAYS:
        both.start(way)
        both.call(command, both.network())
    assert both.compare(warm=0) == [4]


def test_a_call_without_a_verb(suite: Suite, daemon: Daemon) -> None:
    cold, warm = (
        suite.call("", b"", plugin="bridge", wrapper=("env", "-u", "CNI_COMMAND"), environ=environ)
        for environ in ({"CNID_SOCKET": ""}, {})
    )
    assert warm == cold
    assert (warm.status, warm.stdout) == (0, b"")
    assert warm.stderr.startswith(f"{about('bridge')}\n".encode())


@pytest.mark.parametrize("plugin", ["bridge", "host-local", "loopback", "portmap", "vxlan"])
def test_version_is_a_constant_of_the_build(plugin: str, suite: Suite) -> None:
    """The launcher answers, and the cold executable would say the same."""
    answer = suite.call("VERSION", b"{}", plugin=plugin)
    assert suite.cold_runs() == []
    cold = suite.path / "pycni-lib-test" / "pycni"
    there = {"executable": str(cold), "environ": {"CNID_SOCKET": ""}}
    assert answer == suite.call("VERSION", b"{}", plugin=plugin, **there)
    assert answer.document["supportedVersions"] == list(SPEC_VERSIONS)


def test_version_that_cannot_be_told(suite: Suite) -> None:
    """The cold executable says why, since a constant cannot."""
    with open("/dev/full", "wb") as full:
        running = suite.start("VERSION", b"", plugin="bridge", stdout=full)
    assert running.process.stderr is not None
    assert running.process.wait() == 1
    assert b"No space left on device" in running.process.stderr.read()
    running.process.stderr.close()


# ---- what a call has around it ------------------------------------------------------------------


def _seen(answer: Answer) -> Any:
    return json.loads(answer.document["dns"]["search"][0])


def test_directory_umask_and_environment_are_the_callers(
    host: Host, suite: Suite, daemon: Daemon, tmp_path: Path
) -> None:
    config = {"cniVersion": "1.1.0", "name": "n", "type": "probe"}
    where = tmp_path / "elsewhere"
    where.mkdir()
    environ = {"EMPTY": "", "UNUSUAL": "a=b\n\udcff", "LANG": "C"}
    seen = {}
    for way in WAYS:
        socket = {"CNID_SOCKET": ""} if way == "cold" else {}
        answer = suite.call(
            *("ADD", config, host.container(way)),
            environ={**environ, **socket},
            cwd=where,
            umask=0o127,
        )
        seen[way] = _seen(answer)
    assert len(suite.cold_runs()) == 1
    for one in seen.values():
        assert one["cwd"] == str(where)
        assert one["umask"] == 0o127
        assert one["blocked"] == []
        assert all(name.startswith("pipe:") for name in one["files"].values())
        assert {**one["environ"], "CNI_NETNS": "", "CNID_SOCKET": ""} == {
            **suite.environ("ADD"),
            **environ,
            "CNID_SOCKET": "",
        }
    assert list(seen["warm"]["environ"]) == list(seen["cold"]["environ"]), "in the same order"


def test_a_foreign_delegate_sees_the_same(suite: Suite, daemon: Daemon, host: Host) -> None:
    """Environment and stdin of an IPAM plugin that is executed; its stderr is the caller's."""
    ipam = suite.path / "ipam"
    ipam.write_text(
        f"#!/bin/sh\nenv -0 | sort -z >{suite.path}/environ\ncat >{suite.path}/stdin\n"
        f"pwd >>{suite.path}/environ; umask >>{suite.path}/environ; echo hello >&2\n"
        'kill -0 $$; grep -E "^Sig(Blk|Ign)" /proc/self/status '
        f">>{suite.path}/environ\n"
        'echo "{\\"cniVersion\\":\\"1.0.0\\",\\"ips\\":[{\\"address\\":\\"10.3.0.2/24\\"}]}"\n'
    )
    ipam.chmod(0o755)
    config = {"cniVersion": "1.0.0", "name": "n", "type": "bridge", "ipam": {"type": "ipam"}}
    stdin = json.dumps(config, indent=3).encode() + b"\n \n"
    netns = host.container()
    found = []
    for way in WAYS:
        wrapper = () if way == "warm" else ("env", "CNID_SOCKET=")
        answer = suite.call(
            *("ADD", stdin, netns), plugin="bridge", wrapper=wrapper, environ={"K": "V\n", "C": "é"}
        )
        assert answer.code == 0
        assert answer.stderr == b"hello\n"
        environ = (suite.path / "environ").read_bytes()
        environ = re.sub(rb"CNID_SOCKET=[^\0]*\0", b"", environ)
        found.append((environ, (suite.path / "stdin").read_bytes()))
        assert suite.call("DEL", stdin, netns, plugin="bridge").code == 0
    assert found[0] == found[1]
    assert found[1][1] == stdin
    assert b"CNI_COMMAND=ADD\0" in found[1][0]
    assert suite.cold_runs() == ["bridge ADD"]


def test_our_own_delegate_is_no_process(both: Both) -> None:
    """Its file here cannot be executed, only recognised; and so it is in both ways."""
    for way in WAYS:
        both.start(way)
        network = both.network()
        both.call("ADD", network)
        both.call("DEL", network)
    assert both.compare() == [0, 0]
    assert both.suite.cold_runs() == [], "compare has read them: bridge alone, host-local never"


def test_a_foreign_delegate_of_our_name_is_executed(both: Both, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    plugin = foreign / "host-local"
    address = '{\\"address\\":\\"10.3.0.2/24\\"}'
    plugin.write_text(f'#!/bin/sh\necho "{{\\"cniVersion\\":\\"1.1.0\\",\\"ips\\":[{address}]}}"\n')
    plugin.chmod(0o755)
    environ = {"CNI_PATH": f"{foreign}:{both.suite.path}"}
    for way in WAYS:
        both.start(way)
        network = both.network(isGateway=False, ipMasq=False)
        assert both.call("ADD", network, environ=environ)["ips"][0]["address"] == "10.3.0.2/24"
        both.call("DEL", network, environ=environ)
    assert both.compare() == [0, 0]
