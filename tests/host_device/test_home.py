"""Which device of a container is an attachment's, and what it is called on the host again.

Both are said by the device itself, by what ADD has written on it: not by a config, which may have
been edited since, nor by what the container or the reference's suite has made of the device.
"""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import CHECK_FAILED, IN_THE_WAY
from tests.host_device.conftest import assert_as_it_was, network
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.contract import REFERENCE, reference
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace

pytestmark = pytest.mark.usefixtures("peer")
OTHER = "alternative0"


@pytest.fixture
def suite() -> None:
    """Debian's build of the reference."""
    if not REFERENCE.exists():
        pytest.skip("the reference suite is missing")


def altname(host: Host, name: str = OTHER) -> None:
    host.command("ip", "link", "property", "add", "dev", "dev0", "altname", name)


def older(**keys: Any) -> Document:
    """A network that the reference understands too."""
    return network(cniVersion="1.0.0", **keys)


def gone(host: Host, container: Namespace) -> None:
    """What the kernel does with a physical device when its namespace goes."""
    index = container.links()["eth0"]["ifindex"]
    host.command("ip", "link", "add", "eth0", "type", "bridge")  # so it cannot be eth0 here
    container.command("ip", "link", "set", "eth0", "down")
    container.command("ip", "link", "set", "eth0", "netns", str(host), "name", f"dev{index}")
    host.command("ip", "link", "delete", "eth0")


# ---- an alternative name in the config


def test_an_alternative_name(runtime: Runtime, host: Host, container: Namespace) -> None:
    """It comes back as what it was called, which the kernel can tell from its other names."""
    altname(host)
    config = network(device=OTHER)
    for taken in (False, True):
        if taken:
            host.command("ip", "link", "add", "eth0", "type", "bridge")
        result = runtime.add(config, netns=container)
        assert container.links()["eth0"]["ifalias"] == "dev0"
        runtime.check(config, result, netns=container)
        runtime.delete(config, netns=container)
        assert_as_it_was(host, altnames=(OTHER,))
    runtime.delete(config, netns=container)
    runtime.gc(config, [])
    assert_as_it_was(host, altnames=(OTHER,))
    host.command("ip", "link", "delete", "eth0")


def test_an_alternative_name_and_a_failed_add(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    altname(host)
    failing = fake.section("10.1.0.2/16", routes=[{"dst": "10.6.0.0/16", "gw": "172.16.0.1"}])
    with pytest.raises(PluginError):
        runtime.add(network(failing, device=OTHER), netns=container)
    assert set(container.links()) == {"lo"}
    assert_as_it_was(host, altnames=(OTHER,))


@pytest.mark.parametrize("after", ["del", "gc", "add"])
def test_an_alternative_name_and_a_namespace_that_is_gone(
    after: str, runtime: Runtime, host: Host, container: Namespace
) -> None:
    altname(host)
    config = network(device=OTHER)
    runtime.add(config, netns=container)
    gone(host, container)
    if after == "del":
        runtime.delete(config)
    elif after == "gc":
        runtime.gc(config, [])
    else:
        other = host.container()
        runtime.add(config, container="c2", netns=other)
        assert other.links()["eth0"]["ifalias"] == "dev0"
        runtime.delete(config)
        runtime.delete(config, container="c2", netns=other)
    assert_as_it_was(host, altnames=(OTHER,))


@pytest.mark.usefixtures("suite")
def test_an_alternative_name_and_the_reference(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    altname(host)
    config = older(device=OTHER)
    result = reference("ADD", config, container)
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    assert_as_it_was(host, up=False, altnames=(OTHER,))
    runtime.add(config, netns=container)
    reference("DEL", config, container)
    assert OTHER in host.links()["dev0"]["altnames"]


# ---- a config that was edited


@pytest.mark.parametrize("edited", ["zz9", "lo", "e1", "", "not a name"])
def test_an_edited_config(edited: str, runtime: Runtime, host: Host, container: Namespace) -> None:
    """DEL with the config as it is now: of a device that is not there, that is, or none."""
    host.command("ip", "link", "add", "e1", "type", "bridge")
    runtime.add(network(), netns=container)
    runtime.delete(network(device=edited), netns=container)
    assert set(host.links()) == {"lo", "dev0", "e1"}
    assert_as_it_was(host)
    host.command("ip", "link", "delete", "e1")


@pytest.mark.parametrize("edited", ["zz9", "e1"])
def test_an_edited_config_and_a_namespace_that_is_gone(
    edited: str, runtime: Runtime, host: Host, container: Namespace
) -> None:
    host.command("ip", "link", "add", "e1", "type", "bridge")
    runtime.add(network(), netns=container)
    gone(host, container)
    runtime.delete(network(device=edited))
    assert set(host.links()) == {"lo", "dev0", "e1"}
    assert_as_it_was(host)
    host.command("ip", "link", "delete", "e1")


@pytest.mark.usefixtures("suite")
def test_an_edited_config_and_the_reference(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    """A virtual device with an alias could be another plugin's: that ADD was here says it is not.

    The DEL after an ADD that was refused comes without a result.
    """
    result = reference("ADD", older(), container)
    edited = older(device="zz9")
    runtime.delete(edited, netns=container)
    assert "dev0" not in host.links()
    runtime.delete({**edited, "prevResult": result}, netns=container)
    assert_as_it_was(host, up=False)


def test_check_tells_of_an_edited_config(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    result = runtime.add(network(), netns=container)
    with pytest.raises(PluginError, match="eth0 is dev0 of the host, expected zz9") as caught:
        runtime.check(network(device="zz9"), result, netns=container)
    assert caught.value.code == CHECK_FAILED
    runtime.delete(network(), netns=container)


# ---- what the container does with it


@pytest.mark.parametrize("alias", ["", "uplink", "to the world"])
def test_the_alias_is_not_the_containers_to_choose(
    alias: str, runtime: Runtime, host: Host, container: Namespace
) -> None:
    """It could rename an interface of the host to what it likes."""
    config = network(hwaddr="02:00:5e:10:00:07")
    for there in (True, False):
        runtime.add(config, netns=container)
        container.command("ip", "link", "set", "eth0", "alias", alias)
        if not there:
            gone(host, container)
        runtime.delete(config, netns=container if there else "")
        assert_as_it_was(host)


@pytest.mark.usefixtures("suite")
def test_nothing_says_what_it_was_called(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    config = older(hwaddr="02:00:5e:10:00:07")
    reference("ADD", config, container)
    container.command("ip", "link", "property", "add", "dev", "eth0", "altname", "uplink")
    container.command("ip", "link", "set", "eth0", "alias", "uplink")
    with pytest.raises(PluginError, match="no alias to say what it is called") as caught:
        runtime.delete(config, netns=container)
    assert caught.value.code == IN_THE_WAY
    container.command("ip", "link", "set", "eth0", "alias", "dev0")
    runtime.delete(config, netns=container)
    assert_as_it_was(host, up=False, altnames=("uplink",))


# ---- there and back between the suites


@pytest.mark.usefixtures("suite")
@pytest.mark.parametrize("edited", [False, True])
def test_the_two_suites_in_turn(edited: bool, runtime: Runtime, host: Host) -> None:
    """What a DEL of the reference leaves on the device, it does not know, must not hide it."""
    config = older()
    for turn in range(3):
        first, second = host.container(), host.container()
        runtime.add(config, container=f"a{turn}", netns=first)
        reference("DEL", config, first)
        assert "dev0" in host.links()
        result = reference("ADD", config, second)
        now = {**older(device="zz9"), "prevResult": result} if edited else config
        runtime.delete(now, container=f"b{turn}", netns=second)
        assert set(second.links()) == {"lo"}
        assert_as_it_was(host, up=False)
        runtime.delete(config, container=f"a{turn}", netns=first)
        assert_as_it_was(host, up=False)
        first.close()
        second.close()


@pytest.mark.usefixtures("suite")
def test_the_two_suites_in_one_container(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    """One namespace, one identity: as with a tool that names the container by its namespace."""
    for _ in range(2):
        runtime.add(older(), netns=container)
        reference("DEL", older(), container)
        reference("ADD", older(), container)
        runtime.delete(older(), netns=container)
        assert set(container.links()) == {"lo"}
        assert "altnames" not in host.links()["dev0"]
        assert "ifalias" not in host.links()["dev0"]


@pytest.mark.usefixtures("suite")
def test_an_alternative_name_that_looks_like_ours(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    altname(host, "cnic-uplink")
    reference("ADD", older(), container)
    runtime.delete(older(), netns=container)
    assert_as_it_was(host, up=False, altnames=("cnic-uplink",))


@pytest.mark.usefixtures("suite")
def test_add_removes_what_the_reference_has_left(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    runtime.add(older(), netns=container)
    reference("DEL", older(), container)
    assert "altnames" in host.links()["dev0"]
    assert "UP" not in host.links()["dev0"]["flags"]
    other = host.container()
    runtime.add(older(), container="c2", netns=other)
    runtime.delete(older(), container="c2", netns=other)
    assert_as_it_was(host, up=False)


def test_the_name_is_given_away_and_the_config_edited(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    runtime.add(network(), netns=container)
    host.command("ip", "link", "add", "dev0", "type", "bridge")
    with pytest.raises(PluginError, match="cannot go back to the host as dev0") as caught:
        runtime.delete(network(device="zz9"), netns=container)
    assert caught.value.code == IN_THE_WAY
    host.command("ip", "link", "delete", "dev0")
    runtime.delete(network(device="zz9"), netns=container)
    assert_as_it_was(host)


def test_another_add_before_the_del(runtime: Runtime, host: Host, container: Namespace) -> None:
    """The device was up on the host, and is so again after the last of those who had it."""
    runtime.add(network(), netns=container)
    gone(host, container)
    other = host.container()
    result = runtime.add(network(), container="c2", netns=other)
    runtime.check(network(), result, container="c2", netns=other)
    runtime.delete(network())
    runtime.delete(network(), container="c2", netns=other)
    assert_as_it_was(host)
