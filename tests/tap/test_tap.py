"""`tap` on a real kernel: who may attach to it, and frames through it."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cni.errors import IN_THE_WAY, INVALID_CONFIG, NOT_AVAILABLE, UNSUPPORTED_FIELD
from hostnet import selinux, tuntap
from tests.kit.calls import PluginError, Runtime
from tests.kit.contract import UnderFaults
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from wiring.single.label import temporary_name


class TestTap(UnderFaults):
    plugin = "tap"
    strict = True


def network(ipam: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    document = {"cniVersion": "1.1.0", "name": "net", "type": "tap", **keys}
    return document if ipam is None else {**document, "ipam": ipam}


@contextmanager
def attached(ns: Namespace, name: str, flags: int = 0) -> Iterator[int]:
    """A program's end of the TAP device. Raises OSError where it may not."""
    fd = ns.run(os.open, tuntap.DEVICE, os.O_RDWR | os.O_NONBLOCK)
    try:
        request = struct.pack("=16sH22x", name.encode(), tuntap.IFF_TAP | tuntap.IFF_NO_PI | flags)
        fcntl.ioctl(fd, tuntap.TUNSETIFF, request)
        yield fd
    finally:
        os.close(fd)


def test_settings(runtime: Runtime, container: Namespace) -> None:
    config = network(mtu=1400, mac="02:00:5e:10:00:01", multiQueue=True, owner=54321, group=2**31)
    result = runtime.add(config, netns=container)
    inner = container.links()["eth0"]
    assert result["interfaces"] == [
        {"name": "eth0", "mac": "02:00:5e:10:00:01", "mtu": 1400, "sandbox": str(container)}
    ]
    assert (inner["mtu"], inner["address"]) == (1400, "02:00:5e:10:00:01")
    assert inner["ifalias"] == "net/c1/eth0"
    data = inner["linkinfo"]["info_data"]
    assert (data["type"], data["persist"], data["multi_queue"]) == ("tap", True, True)
    assert (str(data["user"]), str(data["group"])) == ("54321", str(2**31))
    runtime.check(config, result, netns=container)
    for keys, words in (
        ({"owner": 7}, "has the owner 54321, expected 7"),
        ({"group": None}, f"has the group {2**31}, expected None"),
        ({"multiQueue": False}, "has the multiQueue True, expected False"),
        ({"bridge": "br0"}, "bridge br0 does not exist"),
        ({"bridge": "lo"}, "interface eth0 is not a port of bridge lo"),
    ):
        with pytest.raises(PluginError, match=words):
            runtime.check({**config, **keys}, result, netns=container)
    runtime.delete(config, netns=container)


def test_nobodys(runtime: Runtime, container: Namespace) -> None:
    runtime.add(network(), netns=container)
    data = container.links()["eth0"]["linkinfo"]["info_data"]
    assert "user" not in data
    assert "group" not in data
    assert not data["multi_queue"]
    runtime.delete(network(), netns=container)


def test_frames_go_to_the_program(runtime: Runtime, fake: FakeIpam, container: Namespace) -> None:
    """The container's question for its neighbour is what the program reads."""
    config = network(fake.section("10.1.0.2/16"))
    result = runtime.add(config, netns=container)
    with attached(container, "eth0") as fd:
        container.command("ping", "-c", "1", "-W", "0.2", "10.1.0.9", check=False)
        frames = []
        try:
            while True:
                frames.append(os.read(fd, 2048))
        except BlockingIOError:
            pass
    asked = [one for one in frames if one[12:14] == b"\x08\x06" and one[38:42] == b"\n\x01\x00\t"]
    assert asked
    assert asked[0][6:12].hex(":") == result["interfaces"][0]["mac"]
    runtime.delete(config, netns=container)


def test_several_queues(runtime: Runtime, container: Namespace) -> None:
    for queues in (True, False):
        config = network(multiQueue=queues)
        runtime.add(config, netns=container)
        flags = tuntap.IFF_MULTI_QUEUE if queues else 0
        with attached(container, "eth0", flags):
            if queues:
                with attached(container, "eth0", flags):
                    pass
            else:
                with pytest.raises(OSError, match="busy") as caught, attached(container, "eth0"):
                    pass
                assert caught.value.errno == errno.EBUSY
        runtime.delete(config, netns=container)


def test_a_port_of_a_bridge(runtime: Runtime, container: Namespace) -> None:
    container.command("ip", "link", "add", "br0", "type", "bridge")
    config = network(bridge="br0")
    result = runtime.add(config, netns=container)
    assert container.links()["eth0"]["master"] == "br0"
    runtime.check(config, result, netns=container)
    container.command("ip", "link", "set", "eth0", "nomaster")
    with pytest.raises(PluginError, match="eth0 is not a port of bridge br0"):
        runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    container.command("ip", "link", "delete", "br0")


@pytest.mark.parametrize(("name", "what"), [("br0", "nothing"), ("lo", "a physical one")])
def test_a_bridge_that_is_none(
    name: str, what: str, runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    config = network(fake.section("10.1.0.2/16"), bridge=name)
    with pytest.raises(PluginError, match=f'key "bridge": found "{name}".*{what}') as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == INVALID_CONFIG
    assert fake.calls == []


def test_what_a_killed_add_has_left(runtime: Runtime, fake: FakeIpam, container: Namespace) -> None:
    name = temporary_name("net/c1/eth0")
    container.command("ip", "tuntap", "add", "mode", "tap", "name", name)
    config = network(fake.section("10.1.0.2/16"))
    with pytest.raises(PluginError, match=f"interface {name} .* DEL it before") as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == IN_THE_WAY
    runtime.delete(config, netns=container)
    assert set(container.links()) == {"lo"}


def test_a_context_on_a_host_without_selinux(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    """Where the host has it, the test on the second kernel sees it used."""
    context = "system_u:system_r:container_t:s0"
    config = network(fake.section("10.1.0.2/16"), selinuxContext=context)
    if selinux.enabled():
        runtime.add(config, netns=container)
        runtime.delete(config, netns=container)
        return
    with pytest.raises(PluginError, match=r'key "selinuxContext".* has no SELinux') as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == UNSUPPORTED_FIELD
    assert fake.calls == []
    with pytest.raises(PluginError, match='key "selinuxContext"') as caught:
        runtime.status(config)
    assert caught.value.code == NOT_AVAILABLE
