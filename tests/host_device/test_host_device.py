"""`host-device` on a real kernel: there and back, renamed on the way, and found in sysfs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cni.errors import CHECK_FAILED, IN_THE_WAY, INVALID_CONFIG, TRY_AGAIN_LATER
from cni_host_device.mark import marks
from tests.host_device.conftest import MAC, assert_as_it_was, network
from tests.kit.calls import PluginError, Runtime
from tests.kit.contract import REFERENCE, UnderFaults, WithReference, reference
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import MNT_DETACH, Namespace, libc, mount
from tests.kit.traffic import ping

pytestmark = pytest.mark.usefixtures("peer")


class TestHostDevice(WithReference, UnderFaults):
    plugin = "host-device"
    keys: ClassVar = {"device": "dev0"}


@pytest.mark.parametrize("up", [True, False])
def test_there_and_back(
    up: bool, runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    host.command("ip", "link", "set", "dev0", "up" if up else "down")
    config = network(fake.section("10.1.0.2/16"))
    result = runtime.add(config, netns=container)
    assert "dev0" not in host.links()
    inner = container.links()["eth0"]
    assert (inner["ifalias"], inner["address"]) == ("dev0", MAC)
    assert result["interfaces"] == [
        {"name": "eth0", "mac": MAC, "mtu": 1500, "sandbox": str(container)}
    ]
    assert ping(container, "10.1.0.9", 3) is not None
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    assert_as_it_was(host, up)


def test_layer_2(runtime: Runtime, host: Host, container: Namespace) -> None:
    result = runtime.add(network(), netns=container)
    assert "ips" not in result
    assert "UP" in container.links()["eth0"]["flags"]
    runtime.check(network(), result, netns=container)
    runtime.delete(network(), netns=container)
    assert_as_it_was(host)


def test_renamed_in_the_container(runtime: Runtime, host: Host, container: Namespace) -> None:
    """By its name and by its alias, which is all that the reference has to know it by."""
    runtime.add(network(), netns=container)
    container.command("ip", "link", "set", "eth0", "down")
    container.command("ip", "link", "set", "eth0", "name", "wan", "alias", "to the world")
    runtime.delete(network(), netns=container)
    assert set(container.links()) == {"lo"}
    assert_as_it_was(host)


def test_names_that_are_taken_on_the_other_side(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    """The container has a `dev0` of its own, and the host an `eth0`."""
    container.command("ip", "link", "add", "dev0", "type", "bridge")
    host.command("ip", "link", "add", "eth0", "type", "bridge")
    result = runtime.add(network(), netns=container)
    runtime.check(network(), result, netns=container)
    runtime.delete(network(), netns=container)
    assert set(container.links()) == {"lo", "dev0"}
    assert_as_it_was(host)
    host.command("ip", "link", "delete", "eth0")
    container.command("ip", "link", "delete", "dev0")


def test_its_name_was_given_away(runtime: Runtime, host: Host, container: Namespace) -> None:
    result = runtime.add(network(), netns=container)
    host.command("ip", "link", "add", "dev0", "type", "bridge")
    with pytest.raises(PluginError, match="cannot go back to the host as dev0") as caught:
        runtime.delete(network(), netns=container)
    assert caught.value.code == IN_THE_WAY
    runtime.check(network(), result, netns=container)
    host.command("ip", "link", "delete", "dev0")
    runtime.delete(network(), netns=container)
    assert_as_it_was(host)


@pytest.mark.parametrize("how", ["route", "address"])
def test_a_failed_add_gives_back_all_that_the_device_had(
    how: str, runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    for address in ("192.0.2.1/24", "2001:db8:7::1/64"):
        host.command("ip", "address", "add", address, "dev", "dev0", "nodad")
    host.command("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.9", "metric", "7")
    host.command("ip", "-6", "route", "add", "2001:db8:8::/64", "via", "2001:db8:7::9")
    before = {family: host.ip(family, "route", "show", "dev", "dev0") for family in ("-4", "-6")}
    routes = [{"dst": "10.6.0.0/16", "gw": "172.16.0.1"}] if how == "route" else []
    addresses = ["10.1.0.2/16"] if how == "route" else ["10.1.0.2/16", "10.1.0.2/16", "::1/128"]
    config = network(fake.section(*addresses, routes=routes))
    with pytest.raises(PluginError):
        runtime.add(config, netns=container)
    assert set(container.links()) == {"lo"}
    assert_as_it_was(host)
    assert set(host.addresses("dev0")) == {"192.0.2.1/24", "2001:db8:7::1/64"}
    after = {family: host.ip(family, "route", "show", "dev", "dev0") for family in ("-4", "-6")}
    assert _named(after) == _named(before)


def _named(routes: dict[str, Any]) -> set[tuple[str, str, int]]:
    return {
        (one["dst"], one.get("gateway", ""), one.get("metric", 0))
        for found in routes.values()
        for one in found
        if not one["dst"].startswith("fe80:")
    }


def test_two_devices_in_one_container(runtime: Runtime, host: Host, container: Namespace) -> None:
    host.command("ip", "link", "add", "dev1", "type", "veth", "peer", "name", "e1")
    runtime.add(network(), netns=container)
    runtime.add(network(device="dev1"), netns=container, ifname="eth1")
    container.command("ip", "link", "set", "eth0", "down")
    container.command("ip", "link", "set", "eth0", "name", "other")
    container.command("ip", "link", "set", "eth1", "down")
    container.command("ip", "link", "set", "eth1", "name", "eth0")
    runtime.delete(network(), netns=container)
    assert_as_it_was(host)
    assert set(container.links()) == {"lo", "eth0"}
    runtime.delete(network(device="dev1"), netns=container, ifname="eth1")
    assert "dev1" in host.links()
    host.command("ip", "link", "delete", "dev1")


def test_a_virtual_device_dies_with_the_namespace(
    runtime: Runtime, fake: FakeIpam, host: Host
) -> None:
    container = host.container()
    config = network(fake.section("10.1.0.2/16"))
    runtime.add(config, netns=container)
    container.close()
    runtime.delete(config)
    assert fake.calls[-1] == "DEL c1"


def test_what_the_kernel_has_brought_back(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    """As it does with physical devices: under the name in the container, or as devN."""
    runtime.add(network(), netns=container)
    container.command("ip", "link", "set", "eth0", "netns", str(host))
    assert "dev0" not in host.links()
    runtime.delete(network())
    assert_as_it_was(host)
    runtime.add(network(), netns=container)
    container.command("ip", "link", "set", "eth0", "netns", str(host))
    other = host.container()
    result = runtime.add(network(), container="next", netns=other)
    runtime.check(network(), result, container="next", netns=other)
    runtime.delete(network())
    assert other.links()["eth0"]["ifalias"] == "dev0", "it is the next one's now"
    runtime.delete(network(), container="next", netns=other)
    runtime.delete(network())
    assert_as_it_was(host)


def test_renamed_after_the_reference_has_moved_it(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    if not REFERENCE.exists():
        pytest.skip("the reference suite is missing")
    config = network(device="dev0", cniVersion="1.0.0")
    reference("ADD", config, container)
    container.command("ip", "link", "set", "eth0", "down")
    container.command("ip", "link", "set", "eth0", "name", "wan")
    runtime.delete(config, netns=container)
    assert_as_it_was(host, up=False)


def test_check_of_the_alias(runtime: Runtime, host: Host, container: Namespace) -> None:
    result = runtime.add(network(), netns=container)
    container.command("ip", "link", "set", "eth0", "alias", "other")
    with pytest.raises(PluginError, match='has the alias "other", expected dev0') as caught:
        runtime.check(network(), result, netns=container)
    assert caught.value.code == CHECK_FAILED
    runtime.delete(network(), netns=container)


# ---- which device it is


@pytest.fixture
def sysfs(tmp_path: Path) -> Iterator[Path]:
    """A tree laid over /sys/bus, with the devices that a test puts there."""
    top = tmp_path / "bus"
    for bus in ("pci", "auxiliary"):
        (top / bus / "devices").mkdir(parents=True)
    mount(str(top), Path("/sys/bus"), "none", 4096)
    yield top
    libc("umount2", b"/sys/bus", MNT_DETACH)


def device(top: Path, bus: str, name: str, *, net: str = "net", driver: str = "e1000e") -> Path:
    made = top / bus / "devices" / name
    (made / net / "dev0").mkdir(parents=True)
    (made / "driver").symlink_to(f"/sys/bus/{bus}/drivers/{driver}")
    return made


def test_by_its_hardware_address(runtime: Runtime, host: Host, container: Namespace) -> None:
    host.command("ip", "link", "add", "a0", "address", "02:00:00:00:00:01", "type", "bridge")
    for text in (MAC, MAC.upper().replace(":", "-"), "0200.5e10.0007"):
        config = network(hwaddr=text)
        runtime.add(config, netns=container)
        assert container.links()["eth0"]["ifalias"] == "dev0"
        runtime.delete(config, netns=container)
        assert_as_it_was(host)
    with pytest.raises(PluginError, match='key "hwaddr": found "02:00:00:00:00:09"') as caught:
        runtime.add(network(hwaddr="02:00:00:00:00:09"), netns=container)
    assert caught.value.code == INVALID_CONFIG
    host.command("ip", "link", "delete", "a0")


@pytest.mark.parametrize("net", ["net", "virtio3/net"])
def test_on_the_pci_bus(
    net: str, runtime: Runtime, host: Host, container: Namespace, sysfs: Path
) -> None:
    device(sysfs, "pci", "0000:00:1f.6", net=net)
    for config in (
        network(pciBusID="0000:00:1f.6"),
        network(pciBusID="0000:00:00.0", runtimeConfig={"deviceID": "0000:00:1f.6"}),
    ):
        result = runtime.add(config, netns=container)
        runtime.check(config, result, netns=container)
        runtime.delete(config, netns=container)
        assert_as_it_was(host)


def test_on_the_auxiliary_bus(
    runtime: Runtime, host: Host, container: Namespace, sysfs: Path
) -> None:
    device(sysfs, "auxiliary", "mlx5_core.sf.4")
    config = network(runtimeConfig={"deviceID": "mlx5_core.sf.4"})
    runtime.add(config, netns=container)
    runtime.delete(config, netns=container)
    assert_as_it_was(host)


def test_by_its_place_among_the_kernels_devices(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    mount("sysfs", Path("/sys"), "sysfs")  # as the host's namespace, in which this thread is
    try:
        place = os.path.realpath("/sys/class/net/dev0")
        path = os.path.dirname(os.path.dirname(place))
        config = network(kernelpath=path)
        runtime.add(config, netns=container)
        assert container.links()["eth0"]["ifalias"] == "dev0"
        runtime.delete(config, netns=container)
        with pytest.raises(PluginError, match='key "kernelpath": found no interface'):
            runtime.add(network(kernelpath=f"{path}/net/lo"), netns=container)
    finally:
        libc("umount2", b"/sys", MNT_DETACH)
    assert_as_it_was(host)


@pytest.mark.parametrize("driver", ["vfio-pci", "uio_pci_generic", "igb_uio"])
def test_a_device_in_user_space(
    driver: str, runtime: Runtime, fake: FakeIpam, container: Namespace, sysfs: Path
) -> None:
    """There is no interface to move; addresses are for whoever drives the device."""
    device(sysfs, "pci", "0000:00:1f.6", driver=driver)
    config = network(pciBusID="0000:00:1f.6")
    assert runtime.add(config, netns=container) == {"cniVersion": "1.1.0"}
    runtime.delete(config, netns=container)
    with_addresses = {**config, "ipam": fake.section("10.1.0.2/16 10.1.0.1")}
    result = runtime.add(with_addresses, netns=container)
    assert result["ips"] == [{"address": "10.1.0.2/16", "gateway": "10.1.0.1"}]
    assert "interfaces" not in result
    runtime.check(with_addresses, result, netns=container)
    runtime.delete(with_addresses, netns=container)
    assert set(container.links()) == {"lo"}
    assert fake.calls == ["ADD c1", "CHECK c1", "DEL c1"]
    whole = {**config, "useInterfaceNetwork": True}
    with pytest.raises(PluginError, match=f'"useInterfaceNetwork".*driver {driver}') as caught:
        runtime.add(whole, netns=container)
    assert caught.value.code == INVALID_CONFIG
    failing = {**config, "ipam": fake.section("10.1.0.2/16", fail=["ADD"])}
    with pytest.raises(PluginError, match="told to fail") as caught:
        runtime.add(failing, netns=container)
    assert caught.value.code == TRY_AGAIN_LATER


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"device": "none"}, 'key "device": found "none", expected an interface of this host'),
        ({"device": "lo"}, "lo is every namespace's own"),
        ({"pciBusID": "0000:00:99.9"}, 'key "pciBusID".* expected a PCI device with a driver'),
        ({"runtimeConfig": {"deviceID": "x.1"}}, r'key "runtimeConfig\.deviceID": found "x\.1"'),
        ({"kernelpath": "/sys/devices/none"}, 'key "kernelpath": found no interface of this host'),
    ],
)
def test_a_device_that_is_not_there(
    keys: dict[str, Any], words: str, runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    config = network(fake.section("10.1.0.2/16"), **keys)
    with pytest.raises(PluginError, match=words) as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == INVALID_CONFIG
    assert fake.calls == []
    runtime.status(config)
    runtime.delete(config, netns=container)


def test_gc_finishes_what_a_killed_call_has_left_on_the_host(host: Host, runtime: Runtime) -> None:
    mark = marks("net/c1/eth0")[1]
    for valid in ([("c1", "eth0")], []):
        host.command("ip", "link", "set", "dev0", "down")
        host.command("ip", "link", "property", "add", "dev", "dev0", "altname", mark, check=False)
        runtime.gc(network(), valid)
        if valid:
            assert host.links()["dev0"]["altnames"] == [mark], "its ADD may be under way"
    assert_as_it_was(host)
    host.command("ip", "link", "property", "add", "dev", "dev0", "altname", "cnic0ffee")
    runtime.gc(network(), [])
    assert host.links()["dev0"]["altnames"] == ["cnic0ffee"], "it is somebody else's"
