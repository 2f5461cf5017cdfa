"""Verbs that meet no daemon, another one, a hanging one; CHECK, GC and STATUS; many at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from cni.errors import (
    CHECK_FAILED,
    INVALID_CONFIG,
    NOT_AVAILABLE,
    TRY_AGAIN_LATER,
)
from cni_dhcp import client
from tests.dhcp.logged import Logged
from tests.dhcp.world import Daemon, Dnsmasq, Lan, Network, addresses
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.probe import wait_until
from tests.kit.processes import at_once
from tests.kit.versions import versions_since

REFERENCE = Path("/usr/lib/cni/dhcp")
T = TypeVar("T")


# ---- no daemon


def test_without_a_daemon_the_error_says_how_to_start_it(
    network: Network, daemon: Daemon, container: Namespace, lan: Lan
) -> None:
    daemon.stop()
    for verb in (network.add, lambda ns: network.runtime.check(network.alone, {}, netns=ns)):
        with pytest.raises(PluginError, match="systemctl enable --now cni-dhcp") as caught:
            verb(container)
        assert caught.value.code == TRY_AGAIN_LATER
        assert str(daemon.socket) in caught.value.msg
    with pytest.raises(PluginError, match="does not answer at") as caught:
        network.runtime.status(network.alone)
    assert caught.value.code == NOT_AVAILABLE
    assert container.links().keys() == {"lo"}


def test_del_without_a_daemon_forgets_the_lease(
    network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    network.add(container)
    daemon.kill()
    network.delete(container)
    network.delete("")
    assert daemon.files == []
    after = daemon.mark()
    daemon.start()
    daemon.wait('"msg":"resumed","leases":0', after)


def test_gc_without_a_daemon(
    network: Network, server: Dnsmasq, daemon: Daemon, host: Host, container: Namespace
) -> None:
    other = host.container()
    network.add(container)
    network.add(other, container="c2")
    daemon.kill()
    network.runtime.gc(network.alone, [("c2", "eth0")])
    assert [one["container"] for one in daemon.files] == ["c2"]
    network.runtime.gc({**network.alone, "name": "another"}, [])
    assert [one["container"] for one in daemon.files] == ["c2"]
    network.runtime.gc(network.alone, [])
    assert daemon.files == []
    network.delete(container)
    network.delete(other, container="c2")


# ---- another daemon, or one that does nothing


def test_a_daemon_that_hangs(
    network: Network, daemon: Daemon, container: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.3)
    daemon.send(signal.SIGSTOP)
    with pytest.raises(PluginError, match="hangs: nothing was heard of it") as caught:
        network.runtime.delete(network.alone, netns=container)
    assert caught.value.code == TRY_AGAIN_LATER
    daemon.send(signal.SIGCONT)


def test_a_daemon_that_dies_meanwhile(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace
) -> None:
    killer = threading.Timer(0.5, daemon.kill)
    killer.start()
    with pytest.raises(PluginError, match=r"went away before it answered|Connection reset"):
        network.add(container)
    killer.join()
    assert container.links().keys() == {"lo"}


def test_a_daemon_that_is_stopped_meanwhile(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace
) -> None:
    killer = threading.Timer(0.5, daemon.stop)
    killer.start()
    with pytest.raises(PluginError, match=r"went away before it answered|Connection reset"):
        network.add(container)
    killer.join()
    assert daemon.files == []


def test_the_references_daemon_is_told_apart(
    runtime: Runtime, host: Host, container: Namespace, tmp_path: Path
) -> None:
    path = tmp_path / "reference.sock"
    ours = {"type": "dhcp", "daemonSocketPath": str(path)}
    config = {"cniVersion": "1.1.0", "name": "net", "type": "dhcp", "ipam": ours}
    with Logged(host, str(REFERENCE), "daemon", "-socketpath", str(path)):
        _wait_for(path)
        with pytest.raises(PluginError, match="another suite's dhcp daemon"):
            runtime.delete(config, netns=container)


def test_the_references_plugin_is_told_so(
    network: Network, daemon: Daemon, container: Namespace
) -> None:
    environ = {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": str(container),
        "CNI_PATH": "/usr/lib/cni",
    }
    done = subprocess.run(
        [REFERENCE],
        input=json.dumps({**network.alone, "cniVersion": "1.0.0"}),
        env=environ,
        text=True,
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 1
    assert "this is pycni's dhcp daemon" in json.loads(done.stdout)["msg"]


def _wait_for(path: Path) -> None:
    def listens() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0

    wait_until(listens)


def test_two_daemons_on_one_socket(daemon: Daemon, host: Host, tmp_path: Path) -> None:
    second = Daemon(host, tmp_path)
    with pytest.raises(AssertionError, match=f"another dhcp daemon serves .*process {daemon.pid}"):
        second.__enter__()


def test_a_socket_that_was_left_is_replaced(daemon: Daemon, network: Network) -> None:
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()
    network.runtime.status(network.alone)
    daemon.stop()
    assert not daemon.socket.exists()


def test_the_pidfile(daemon: Daemon, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    daemon.start_again("-pidfile", str(pidfile))
    assert pidfile.read_text() == str(daemon.pid)
    daemon.stop()
    assert not pidfile.exists()


def test_the_socket_is_for_root_only(daemon: Daemon) -> None:
    assert daemon.socket.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "question",
    [b"{}\n", b"hello\n", b"[]\n", b'{"verb":"NO"}\n', b'{"verb":"ADD"}\n', b'{"verb":"DEL"}\n'],
)
def test_questions_that_nobody_should_ask(question: bytes, daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as plugin:
        plugin.settimeout(10)
        plugin.connect(str(daemon.socket))
        plugin.sendall(question)
        answer = plugin.recv(65536)
    assert b'"error"' in answer


def test_a_daemon_that_is_killed_at_any_moment(
    network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    """An ADD then fails whole or is whole, and a DEL, repeated, leaves nothing."""
    for milliseconds in range(0, 32, 4):
        result = killing(daemon, milliseconds, partial(network.add, container))
        if isinstance(result, PluginError):
            assert result.code == TRY_AGAIN_LATER
            assert container.links().keys() == {"lo"}
        else:
            network.runtime.check(network.config, result, netns=container)
        failed = killing(daemon, milliseconds / 4, partial(network.delete, container))
        assert failed is None or failed.code == TRY_AGAIN_LATER
        network.delete(container)
        assert container.links().keys() == {"lo"}
        assert daemon.files == []


def killing(daemon: Daemon, milliseconds: float, verb: Callable[[], T]) -> T | PluginError:
    """What a verb gives, or its error, while the daemon is killed and then started again."""
    killer = threading.Timer(milliseconds / 1000, daemon.kill)
    killer.start()
    try:
        return verb()
    except PluginError as error:
        return error
    finally:
        killer.join()
        daemon.start()


# ---- where the container is


def test_an_interface_that_is_not_there(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace
) -> None:
    with pytest.raises(PluginError, match="interface eth0 is not in") as caught:
        network.runtime.add(network.alone, netns=container)
    assert caught.value.code == INVALID_CONFIG
    assert "of a plugin that makes one" in caught.value.msg


@pytest.mark.parametrize("target", ["/", "/var"])
def test_a_daemon_with_the_hosts_root_elsewhere(
    target: str, network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    """The prefix goes before the socket's path and before that of the namespace."""
    daemon.stop()
    root = daemon.directory.with_name("root")
    root.symlink_to(target)
    socket_path = f"/run/cni/{os.getpid()}.sock"
    daemon.add_flags("-hostprefix", str(root), "-socketpath", socket_path)
    network.ipam["daemonSocketPath"] = f"{root}{socket_path}"
    daemon.start()
    try:
        if target == "/":
            network.add(container)
            network.delete(container)
        else:
            with pytest.raises(PluginError, match="does not see the container's namespace") as no:
                network.add(container)
            assert "told by -hostprefix" in no.value.msg
    finally:
        daemon.stop()
        Path(f"{socket_path}.lock").unlink()
        Path(socket_path.removesuffix(".sock")).rmdir()


def test_an_interface_without_a_hardware_address(
    network: Network, daemon: Daemon, container: Namespace
) -> None:
    container.command("ip", "tuntap", "add", "eth0", "mode", "tun")
    with pytest.raises(PluginError, match="eth0 has no Ethernet address") as caught:
        network.runtime.add(network.alone, netns=container)
    assert caught.value.code == INVALID_CONFIG
    container.command("ip", "link", "delete", "eth0")


def test_a_link_that_is_down_is_brought_up(
    network: Network, lan: Lan, server: Dnsmasq, container: Namespace
) -> None:
    """For interface plugins that leave it to us, as they may with the reference."""
    lan.plug(container, "eth0", "port")
    container.command("ip", "link", "set", "eth0", "down")
    result = network.runtime.add(network.alone, netns=container)
    assert "UP" in container.links()["eth0"]["flags"]
    assert network.runtime.add(network.alone, netns=container) == result, "asked again"
    assert server.count("DHCPDISCOVER") == 1
    network.runtime.delete(network.alone, netns=container)
    container.command("ip", "link", "delete", "eth0")


def test_a_container_of_the_same_name_that_comes_back(
    network: Network, server: Dnsmasq, daemon: Daemon, host: Host, container: Namespace
) -> None:
    """Without a DEL, in another namespace."""
    network.add(container)
    container.command("ip", "link", "delete", "eth0")
    other = host.container()
    result = network.add(other)
    assert len(daemon.files) == 1
    network.runtime.check(network.config, result, netns=other)
    network.delete(other)


def test_two_interfaces_of_one_container(
    network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    first = network.add(container)
    second = network.add(container, ifname="eth1")
    assert addresses(first) != addresses(second)
    got = server.mark()
    daemon.renew()
    for result in (first, second):
        server.wait(f"DHCPACK.* {addresses(result)[0].partition('/')[0]} ", got)
    network.delete(container, ifname="eth1")
    network.runtime.check(network.config, first, netns=container)
    network.delete(container)


def test_twenty_at_once(network: Network, server: Dnsmasq, daemon: Daemon, host: Host) -> None:
    containers = {f"c{number}": host.container() for number in range(20)}
    results = at_once([partial(network.add, ns, container=name) for name, ns in containers.items()])
    found = [addresses(result)[0] for result in results]
    assert len(set(found)) == 20
    assert len(daemon.files) == 20
    got = server.mark()
    daemon.renew()
    for address in found:
        server.wait(f"DHCPACK.* {address.partition('/')[0]} ", got)
    at_once([partial(network.delete, ns, container=name) for name, ns in containers.items()])
    assert daemon.files == []
    released = (f" {address.partition('/')[0]} " for address in found)
    assert server.end(*released, after=got) == ""


@pytest.mark.parametrize("mode", ["bridge", "private"])
def test_macvlan(
    mode: str, network: Network, lan: Lan, server: Dnsmasq, container: Namespace
) -> None:
    """On a card of the host; each interface is a client of its own."""
    lan.plug(lan.host, "nic", "port")
    config = {**network.config, "type": "macvlan", "master": "nic", "mode": mode}
    names = ("eth0", "eth1")
    results = [network.runtime.add(config, netns=container, ifname=name) for name in names]
    assert [container.addresses(name) for name in names] == [addresses(one) for one in results]
    assert addresses(results[0]) != addresses(results[1])
    got = server.mark()
    network.daemon.renew()
    for name, result in zip(names, results, strict=True):
        server.wait(f"DHCPACK.* {addresses(result)[0].partition('/')[0]} ", got)
        network.runtime.check(config, result, netns=container, ifname=name)
        network.runtime.delete(config, netns=container, ifname=name)
    released = (f" {addresses(one)[0].partition('/')[0]} " for one in results)
    assert server.end(*released, after=got) == ""
    lan.host.command("ip", "link", "delete", "nic")


# ---- CHECK, GC, STATUS


def test_check_in_every_version_that_has_it(
    network: Network, server: Dnsmasq, container: Namespace
) -> None:
    for version in versions_since("0.4.0"):
        network.version = version
        result = network.add(container)
        network.runtime.check(network.config, result, netns=container)
        network.delete(container)


def test_check_names_what_is_wrong(
    network: Network, server: Dnsmasq, daemon: Daemon, host: Host, container: Namespace
) -> None:
    result = network.add(container)
    wrong = {**result, "ips": [{"address": "10.99.0.250/24"}]}
    other = host.container()
    cases = (
        (wrong, {"netns": container}, "previous result says 10.99.0.250/24"),
        (result, {"netns": container, "container": "c9"}, "keeps no lease for container c9"),
        (result, {"netns": container, "ifname": "eth9"}, r"\(eth9\) on network net"),
        (result, {"netns": other}, "of another namespace"),
    )
    for previous, how, words in cases:
        with pytest.raises(PluginError, match=words) as caught:
            network.runtime.check(network.alone, previous, **how)
        assert caught.value.code == CHECK_FAILED
    network.runtime.check(network.alone, result, netns=container)
    network.delete(container)


def test_gc_gives_back_what_is_not_valid(
    network: Network, server: Dnsmasq, daemon: Daemon, host: Host, container: Namespace
) -> None:
    other = host.container()
    first = network.add(container)
    kept = network.add(other, container="c2")
    network.runtime.gc({**network.config, "name": "another"}, [])
    assert len(daemon.files) == 2
    network.runtime.gc(network.config, [("c2", "eth0")])
    server.wait(f"DHCPRELEASE.* {addresses(first)[0].partition('/')[0]} ")
    assert [one["container"] for one in daemon.files] == ["c2"]
    assert "eth0" not in container.links(), "the bridge plugin's part"
    network.runtime.check(network.config, kept, netns=other, container="c2")
    network.delete(other, container="c2")


def test_a_del_that_comes_twice_too_early_and_without_a_namespace(
    network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    network.delete(container)
    result = network.add(container)
    network.delete("")
    server.wait(f"DHCPRELEASE.* {addresses(result)[0].partition('/')[0]} ")
    network.delete("")
    network.delete(container)
    assert daemon.files == []


def test_dels_at_once_give_the_lease_back(
    network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    """Runtimes repeat a DEL that they believe lost."""
    address = addresses(network.add(container))[0].partition("/")[0]
    after = server.mark()
    at_once([partial(network.runtime.delete, network.alone, netns=container)] * 3)
    assert daemon.files == []
    assert server.end(f" {address} ", after=after) == ""
    network.delete(container)


def test_status_looks_at_the_leases_directory(network: Network, daemon: Daemon) -> None:
    network.runtime.status(network.alone)
    os.rmdir(daemon.directory)
    daemon.directory.write_text("a file")
    with pytest.raises(PluginError, match=str(daemon.directory)) as caught:
        network.runtime.status(network.alone)
    assert caught.value.code == NOT_AVAILABLE
    daemon.directory.unlink()


def test_a_lease_that_cannot_be_written_down_is_given_back(
    network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    name = _file_of(network, container, daemon) + ".unfinished"
    (daemon.directory / name).mkdir()
    with pytest.raises(PluginError, match="lease directory"):
        network.add(container)
    server.wait("DHCPRELEASE")
    (daemon.directory / name).rmdir()


def _file_of(network: Network, container: Namespace, daemon: Daemon) -> str:
    network.add(container)
    (file,) = daemon.directory.iterdir()
    network.delete(container)
    return file.name
