"""The config of `host-device`: every key, what it takes and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cni.call import Call, read_call
from cni.errors import INVALID_CONFIG, CniError
from cni_host_device.config import HostDevice, lenient, read
from wiring.single.attach import Common


def call(**keys: Any) -> Call:
    environ = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    document = {"cniVersion": "1.1.0", "name": "net", "type": "host-device", **keys}
    return read_call(environ, json.dumps(document).encode())


def test_what_is_read() -> None:
    assert read(call(device="eth1")) == HostDevice(Common(), device="eth1")
    address = bytes.fromhex("02005e100001")
    for text in ("02:00:5e:10:00:01", "02-00-5E-10-00-01", "0200.5e10.0001"):
        assert read(call(hwaddr=text)).hwaddr == address
    infiniband = ":".join(["80"] * 20)
    assert len(read(call(hwaddr=infiniband)).hwaddr) == 20
    path = "/sys/devices/pci0000:00/0000:00:1f.6"
    assert read(call(kernelpath=f"{path}/")).kernel_path == path
    assert read(call(pciBusID="0000:00:1f.6")).pci == "0000:00:1f.6"
    found = read(call(runtimeConfig={"deviceID": "mlx5_core.sf.4"}, ipam={"type": "static"}))
    assert found == HostDevice(Common("static"), device_id="mlx5_core.sf.4")
    for asked in (True, False):
        found = read(call(device="eth1", enabledad=asked))
        assert found == HostDevice(Common(enable_dad=asked), device="eth1")
    found = read(call(device="eth1", useInterfaceNetwork=True))
    assert found == HostDevice(Common(), device="eth1", with_network=True)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("device", "sixteencharacter", "an interface name"),
        ("device", "../eth0", "an interface name"),
        ("device", 5, "a string"),
        ("hwaddr", "banana", "a hardware address"),
        ("hwaddr", "02:00:5e:10:00", "a hardware address"),
        ("hwaddr", "02 00 5e 10 00 01", "a hardware address"),
        ("hwaddr", 5, "a string"),
        ("kernelpath", "/etc/passwd", "below /sys/devices/"),
        ("kernelpath", "sys/devices/x", "below /sys/devices/"),
        ("kernelpath", "/sys/devices/", "below /sys/devices/"),
        ("kernelpath", "/sys/devices/../../etc", "below /sys/devices/"),
        ("kernelpath", [], "a string"),
        ("pciBusID", "../../x", "name on its bus"),
        ("pciBusID", "..", "name on its bus"),
        ("pciBusID", 5, "a string"),
        ("runtimeConfig.deviceID", "a/b", "name on its bus"),
        ("runtimeConfig", 5, "an object"),
        ("useInterfaceNetwork", "true", "true or false"),
        ("enabledad", "true", "true or false"),
        ("dns", 5, "an object"),
        ("ipam", 5, "an object"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any, expected: str) -> None:
    first, _, second = key.partition(".")
    keys = {"device": "eth1", first: {second: value} if second else value}
    with pytest.raises(CniError, match=f'key "{key}".* expected .*{expected}') as caught:
        read(call(**keys))
    assert caught.value.code == INVALID_CONFIG


def test_no_device() -> None:
    for keys in (
        {},
        {"device": "", "hwaddr": "", "runtimeConfig": {}},
        {"useInterfaceNetwork": True},
    ):
        with pytest.raises(CniError, match="specify either") as caught:
            read(call(**keys))
        assert caught.value.code == INVALID_CONFIG


def test_a_del_takes_what_it_can_get() -> None:
    assert lenient(call(device=5, ipam={"type": "x"})) == HostDevice(Common("x"))
    assert lenient(call(device="eth1", ipam=5)) == HostDevice(Common())
