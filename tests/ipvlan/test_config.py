"""The config of `ipvlan`: every key, what it takes and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cni.call import Call, read_call
from cni.errors import INVALID_CONFIG, CniError
from cni.result import Interface, Result
from cni_ipvlan.config import Ipvlan, chained, read
from wiring.single.attach import Common
from wiring.single.lower import Lower


def call(**keys: Any) -> Call:
    environ = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    document = {"cniVersion": "1.1.0", "name": "net", "type": "ipvlan", **keys}
    return read_call(environ, json.dumps(document).encode())


def test_what_is_read() -> None:
    assert read(call()) == Ipvlan(Common(), Lower())
    whole = {"master": "eth1", "linkInContainer": True, "mode": "l3s", "mtu": 1400}
    assert read(call(**whole, ipam={"type": "static"}, enabledad=False)) == Ipvlan(
        Common("static", mtu=1400, enable_dad=False), Lower("eth1", True), "l3s"
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("master", "sixteencharacter", "an interface name"),
        ("master", 5, "a string"),
        ("linkInContainer", 1, "true or false"),
        ("mode", "L2", '"l2", "l3", "l3s"'),
        ("mode", 2, "one of"),
        ("mtu", 67, "from 68 to 65535"),
        ("enabledad", "x", "true or false"),
        ("mtu", "1400", "an integer"),
        ("dns", 5, "an object"),
        ("ipam", [], "an object"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any, expected: str) -> None:
    with pytest.raises(CniError, match=f'key "{key}".* expected .*{expected}') as caught:
        read(call(**{key: value}))
    assert caught.value.code == INVALID_CONFIG


def test_the_master_of_a_chain() -> None:
    found = Ipvlan(Common(), Lower())
    assert chained(found, None) is found, "that of the default route"
    told = Result(interfaces=(Interface("eni3"),))
    assert chained(found, told).lower == Lower("eni3")
    named = Ipvlan(Common(), Lower("eth1"))
    assert chained(named, told) is named
    for names in ((), ("a", "b"), ("",)):
        with pytest.raises(CniError, match="expected exactly one to sit on"):
            chained(found, Result(interfaces=tuple(Interface(name) for name in names)))
