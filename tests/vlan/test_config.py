"""The config of `vlan`: every key, what it takes and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cni.call import Call, read_call
from cni.errors import INVALID_CONFIG, CniError
from cni_vlan.config import Vlan, read
from wiring.single.attach import Common
from wiring.single.lower import Lower


def call(**keys: Any) -> Call:
    environ = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    usual = {"type": "vlan", "master": "eth1", "vlanId": 5}
    document = {"cniVersion": "1.1.0", "name": "net", **usual, **keys}
    return read_call(environ, json.dumps(document).encode())


def test_what_is_read() -> None:
    assert read(call()) == Vlan(Common(), Lower("eth1"), 5)
    whole = {"linkInContainer": True, "vlanId": 0, "mtu": 1400, "ipam": {"type": "static"}}
    common = Common("static", mtu=1400, enable_dad=True)
    assert read(call(**whole, enabledad=True)) == Vlan(common, Lower("eth1", True), 0)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("master", None, "the interface that carries the VLAN"),
        ("master", "", "the interface that carries the VLAN"),
        ("master", "a b", "an interface name"),
        ("master", [], "a string"),
        ("vlanId", None, "an integer from 0 to 4094"),
        ("vlanId", -1, "an integer from 0 to 4094"),
        ("vlanId", 4095, "an integer from 0 to 4094"),
        ("vlanId", "5", "an integer from 0 to 4094"),
        ("linkInContainer", "no", "true or false"),
        ("mtu", 65536, "from 0 to 65535"),
        ("dns", [], "an object"),
        ("ipam", "static", "an object"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any, expected: str) -> None:
    with pytest.raises(CniError, match=f'key "{key}".* expected .*{expected}') as caught:
        read(call(**{key: value}))
    assert caught.value.code == INVALID_CONFIG
