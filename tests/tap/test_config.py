"""The config of `tap`: every key, what it takes and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cni.call import Call, read_call
from cni.errors import INVALID_CONFIG, INVALID_ENVIRONMENT, CniError
from cni_tap.config import Tap, read
from wiring.single.attach import Common

MAC = "02:00:5e:10:00:01"


def call(args: str = "", /, **keys: Any) -> Call:
    environ = {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": args,
    }
    document = {"cniVersion": "1.1.0", "name": "net", "type": "tap", **keys}
    return read_call(environ, json.dumps(document).encode())


def test_what_is_read() -> None:
    assert read(call()) == Tap(Common(enable_dad=False))
    context = "system_u:system_r:container_t:s0"
    whole = {"multiQueue": True, "mac": MAC, "owner": 0, "group": 2**32 - 2, "bridge": "br1"}
    assert read(call(**whole, selinuxcontext=context, mtu=1400, enabledad=True)) == Tap(
        Common(mtu=1400, enable_dad=True), True, MAC, 0, 2**32 - 2, "br1", context
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("multiQueue", 1, "true or false"),
        ("mtu", 67, "from 68 to 65535"),
        ("mac", "x", "a unicast hardware address"),
        ("owner", -1, "from 0 to 4294967294"),
        ("owner", 2**32 - 1, "from 0 to 4294967294"),
        ("owner", "root", "an integer"),
        ("group", 1.5, "an integer"),
        ("bridge", "a/b", "an interface name"),
        ("bridge", 5, "a string"),
        ("enabledad", 1, "true or false"),
        ("selinuxContext", 5, "a string"),
        ("dns", 5, "an object"),
        ("ipam", [], "an object"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any, expected: str) -> None:
    with pytest.raises(CniError, match=f'key "{key}".* expected .*{expected}') as caught:
        read(call(**{key: value}))
    assert caught.value.code == INVALID_CONFIG


def test_where_the_mac_comes_from() -> None:
    more = {"mac": MAC, "runtimeConfig": {"mac": "02:00:5e:10:00:03"}}
    assert read(call("MAC=02:00:5e:10:00:02", mac=MAC)).mac == "02:00:5e:10:00:02"
    assert read(call("MAC=02:00:5e:10:00:02", **more)).mac == "02:00:5e:10:00:03"
    with pytest.raises(CniError, match="CNI_ARGS MAC") as caught:
        read(call("MAC=banana"))
    assert caught.value.code == INVALID_ENVIRONMENT
