"""The config of `macvlan`: every key, what it takes and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cni.call import Call, read_call
from cni.errors import INVALID_CONFIG, INVALID_ENVIRONMENT, CniError
from cni_macvlan.config import Macvlan, read
from wiring.single.attach import Common
from wiring.single.lower import Lower

MAC = "02:00:5e:10:00:01"


def call(args: str = "", /, **keys: Any) -> Call:
    environ = {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": args,
    }
    document = {"cniVersion": "1.1.0", "name": "net", "type": "macvlan", **keys}
    return read_call(environ, json.dumps(document).encode())


def test_what_is_read() -> None:
    assert read(call()) == Macvlan(Common(), Lower())
    assert read(call(mode="", ipam=None, mac="")) == Macvlan(Common(), Lower())
    whole = {"master": "eth1", "linkInContainer": True, "mode": "vepa", "bcqueuelen": 2**32 - 1}
    assert read(call(**whole, mtu=1400, mac=MAC, ipam={"type": "dhcp"}, enabledad=True)) == Macvlan(
        Common("dhcp", mtu=1400, enable_dad=True), Lower("eth1", True), "vepa", 2**32 - 1, MAC
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("master", "sixteencharacter", "an interface name"),
        ("master", "a/b", "an interface name"),
        ("master", 5, "a string"),
        ("linkInContainer", "yes", "true or false"),
        ("mode", "Bridge", '"private", "vepa", "bridge", "passthru"'),
        ("mode", 4, "one of"),
        ("mtu", 67, "from 68 to 65535"),
        ("enabledad", "x", "true or false"),
        ("mtu", True, "an integer"),
        ("bcqueuelen", -1, "from 0 to 4294967295"),
        ("bcqueuelen", 2**32, "from 0 to 4294967295"),
        ("bcqueuelen", "1000", "an integer"),
        ("mac", "x", "a unicast hardware address"),
        ("mac", "01:00:5e:00:00:01", "a unicast hardware address"),
        ("mac", 5, "a unicast hardware address"),
        ("dns", 5, "an object"),
        ("ipam", [], "an object"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any, expected: str) -> None:
    with pytest.raises(CniError, match=f'key "{key}".* expected .*{expected}') as caught:
        read(call(**{key: value}))
    assert caught.value.code == INVALID_CONFIG


def test_a_mac_and_passthru_exclude_each_other() -> None:
    for config in (call(mode="passthru", mac=MAC), call(f"MAC={MAC}", mode="passthru")):
        with pytest.raises(CniError, match=f'key "mode": found "passthru" and the MAC {MAC}'):
            read(config)
    assert read(call(mode="passthru")).mac == ""


def test_a_wrong_mac_in_the_environment() -> None:
    with pytest.raises(CniError, match="CNI_ARGS MAC") as caught:
        read(call("MAC=banana"))
    assert caught.value.code == INVALID_ENVIRONMENT


def test_layer_2_needs_a_version_that_can_tell_it() -> None:
    assert read(call(cniVersion="0.3.0")).common.ipam == ""
    with pytest.raises(CniError, match=r'key "ipam".* cniVersion 0\.2\.0'):
        read(call(cniVersion="0.2.0"))
