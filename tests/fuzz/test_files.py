"""Files that pycni reads and others can write: networks, results, addresses, subnet.env.

A file that is nonsense is an error that names it, or nothing, and never an end of the program.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from cni.call import Attachment
from cni.errors import CniError
from cni_tuning import allowlist
from cni_vxlan import subnet_env
from libcni.cache import Cache
from libcni.conf import network_from_bytes
from libcni.confdir import load_network, load_networks
from tests.fuzz import hostile
from tests.fuzz.campaign import Draw
from tests.fuzz.conftest import Start
from tests.fuzz.sandbox import SANDBOX
from tests.fuzz.verdict import KNOWN
from tests.fuzz.world import World, previous, templates
from tests.kit.tool import cnitool

LIST: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "cniVersions": ["0.4.0", "1.0.0", "1.1.0"],
    "name": "net",
    "disableCheck": False,
    "disableGC": "false",
    "loadOnlyInlinedPlugins": True,
    "plugins": [
        {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.0.0/16"}, "ipMasq": True},
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
    ],
}
ENTRY: dict[str, Any] = {
    "kind": "cniCacheV1",
    "containerId": "c1",
    "config": base64.b64encode(json.dumps(LIST).encode()).decode(),
    "ifName": "eth0",
    "networkName": "net",
    "netns": "/run/netns/none",
    "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAME", "x"]],
    "capabilityArgs": {"portMappings": [{"hostPort": 80, "containerPort": 80}]},
    "result": previous(),
}


def fails(error: CniError) -> str:
    assert error.code in KNOWN, error
    assert error.msg
    assert len(str(error)) < 4000, str(error)
    return f"error {error.code}"


def test_networks(tmp_path: Path, campaign: Start) -> None:
    """As a document, and as files of a directory."""
    (tmp_path / "net").mkdir()
    single = {"cniVersion": "1.1.0", "name": "net", **LIST["plugins"][0]}

    def one(draw: Draw) -> str:
        good = draw.choice((LIST, LIST, single))
        data = hostile.encoded(draw, hostile.spoilt(draw, good))
        (tmp_path / f"10.{draw.choice(('conflist', 'conf', 'json'))}").write_bytes(data)
        (tmp_path / "net" / "20.conf").write_bytes(hostile.encoded(draw, LIST["plugins"][1]))
        try:
            _, problems = load_networks(str(tmp_path))
            for problem in problems:
                fails(problem)
            for name in ("net", hostile.word(draw)):
                try:
                    load_network(str(tmp_path), name)
                except CniError as error:
                    fails(error)
            network = network_from_bytes(data, "the document")
        except CniError as error:
            return fails(error)
        finally:
            for path in tmp_path.glob("10.*"):
                path.unlink()
        assert network.name
        assert network.plugins
        return "a network"

    campaign("network configurations", 300, 12000).run(one)


def test_cache(tmp_path: Path, campaign: Start) -> None:
    cache = Cache(str(tmp_path))
    key = Attachment("c1", "eth0")
    assert not cache.prepare("net", key)
    path = Path(cache.path("net", key))

    def one(draw: Draw) -> str:
        data = hostile.encoded(draw, hostile.spoilt(draw, ENTRY))
        if draw.random() < 0.1:
            data = hostile.shuffled(draw, data)
        path.write_bytes(data)
        with SANDBOX.around(tmp_path):
            entries, problems = cache.scan()
            loaded = cache.load("net", key)
            with contextlib.suppress(CniError):
                cache.prepare("net", key)
                cache.remove("net", key)
        SANDBOX.check()
        for problem in problems:
            fails(problem)
            assert path.name in str(problem)
        assert len(entries) + len(problems) == 1
        return "an entry" if loaded else "none"

    campaign("entries of the results cache", 300, 10000).run(one)


def test_cnitool(world: World, campaign: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments, its variables and the network it is to act on."""
    directory = world.host.state / "net.d"
    directory.mkdir()
    commands = ("add", "check", "del", "gc", "status", "list", "validate")
    flags = ("--all", "--keep=x", "--json", "-i", "--cache-dir=cache", "--timeout=nan", "--", "-h")
    kept = {number: signal.getsignal(number) for number in (2, 15, 1)}

    def one(draw: Draw) -> str:
        data = hostile.encoded(draw, hostile.spoilt(draw, LIST))
        (directory / "10.conflist").write_bytes(data)
        words = ["net", str(directory / "10.conflist"), str(world.container)]
        words += [_argument(draw) for _ in range(2)]
        argv = [draw.choice(commands), *draw.sample(words, draw.randrange(4))]
        if draw.random() < 0.3:
            argv.insert(draw.randrange(len(argv) + 1), draw.choice(flags))
        monkeypatch.setenv("CNI_PATH", str(directory))
        monkeypatch.setenv("NETCONFPATH", str(directory))
        for name in ("CNI_ARGS", "CAP_ARGS", "CNI_IFNAME"):
            monkeypatch.setenv(name, _argument(draw) if draw.random() < 0.3 else "")
        stdout, stderr = io.StringIO(), io.StringIO()
        try:
            with (
                contextlib.redirect_stdout(stdout),
                contextlib.redirect_stderr(stderr),
                SANDBOX.around(world.host.state.parent),
            ):
                status = cnitool(argv)
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        except Exception as error:
            error.add_note(f"cnitool {argv} {data[:2000]!r}")
            raise
        SANDBOX.check()
        assert status in (0, 1), status
        assert "Traceback" not in stderr.getvalue()
        assert status == 0 or stderr.getvalue() or stdout.getvalue(), argv
        return f"exit status {status}"

    try:
        campaign("cnitool: arguments and networks", 100, 5000).run(one)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _argument(draw: Draw) -> str:
    """What a process can be given: any bytes but NUL."""
    return os.fsdecode(hostile.word(draw)[:300].encode("utf-8", "replace").replace(b"\0", b""))


def test_address_directories(world: World, campaign: Start) -> None:
    """host-local's reservations and its index, whatever a torn file or another program left."""
    config = templates(world)["host-local"][0]
    data = json.dumps(config).encode()
    top = Path(config["ipam"]["dataDir"])
    directory = top / "net"

    def one(draw: Draw) -> str:
        directory.mkdir(parents=True, exist_ok=True)
        for _ in range(draw.choice((1, 2, 4))):
            name = draw.choice(
                ("10.7.0.10", "10.7.0.11", "fd07::2", "fd07__2", "last_reserved_ip.0", "lock", "x",
                 "last_reserved_ip.9", "10.7.0.999", ".tmp", "10.7.0.12\n", "\udcff", "garbage")
            )  # fmt: skip
            _leave(draw, directory / name)
        for path in Path("/run/cni").rglob("*"):
            if path.is_file() and draw.random() < 0.5:
                path.write_bytes(hostile.shuffled(draw, path.read_bytes()))
        commands = ("ADD", "CHECK", "DEL", "STATUS", "GC")
        words = []
        try:
            for command in (*draw.sample(commands, 3), "ADD", "DEL"):
                sent = data
                if command == "GC":
                    sent = json.dumps({**config, "cni.dev/valid-attachments": []}).encode()
                if command == "CHECK":
                    sent = json.dumps({**config, "prevResult": previous()}).encode()
                answer = world.call("host-local", world.environ(command, world.container), sent)
                words.append(answer.word)
        except BaseException as error:
            found = {p.name: p.read_bytes()[:80] for p in directory.iterdir() if p.is_file()}
            error.add_note(f"{found}")
            raise
        finally:
            shutil.rmtree(top)
        return f"ADD {words[3]}, DEL {words[4]}"

    campaign("host-local's directories", 30, 2000).run(one)


def _leave(draw: Draw, path: Path) -> None:
    """Something at this path."""
    if path.is_dir() or path.is_symlink():
        return
    chance = draw.random()
    if chance < 0.1:
        path.unlink(missing_ok=True)
        path.mkdir()
    elif chance < 0.2:
        path.unlink(missing_ok=True)
        path.symlink_to(draw.choice(("/nowhere/x", "x", "lock", "..")))
    elif chance < 0.3:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    elif not path.is_fifo():
        text = draw.choice(("c1\r\neth0", "c1", "", "\n", "c2\neth0\n", hostile.word(draw)))
        path.write_bytes(hostile.shuffled(draw, text.encode("utf-8", "replace")[:3000]))


def test_subnet_env(tmp_path: Path, campaign: Start) -> None:
    good = (
        b"FLANNEL_NETWORK=10.244.0.0/16,10.245.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n"
        b"FLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00:0:0:1::1/64\n"
        b"FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    )
    path = tmp_path / "subnet.env"

    def one(draw: Draw) -> str:
        data = hostile.shuffled(draw, good)
        lines = data.splitlines()
        if draw.random() < 0.5 and lines:
            at = draw.randrange(len(lines))
            text = hostile.word(draw).encode("utf-8", "replace")
            lines[at] = lines[at].partition(b"=")[0] + b"=" + text
            data = b"\n".join(lines)
        path.write_bytes(data)
        try:
            found = subnet_env.read(str(path))
        except CniError as error:
            return fails(error)
        assert found.subnets
        assert found.networks
        return "accepted"

    campaign("flannel's subnet.env", 300, 6000).run(one)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of `re`, for an expression that is odd
def test_allowlist(tmp_path: Path, campaign: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "allowlist.conf"
    monkeypatch.setattr(allowlist, "FILE", str(path))
    good = b"^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$\n^net\\.core\\.[[:alpha:]]+\\z\n"

    def one(draw: Draw) -> str:
        data = hostile.shuffled(draw, good)
        if draw.random() < 0.3:
            data += hostile.word(draw)[:1000].encode("utf-8", "replace")
        path.write_bytes(data)
        try:
            allowlist.require_allowed(["net.ipv4.conf.IFNAME.arp_filter", hostile.word(draw)[:300]])
        except CniError as error:
            return fails(error)
        return "allowed"

    campaign("tuning's allowlist.conf", 300, 6000).run(one)
