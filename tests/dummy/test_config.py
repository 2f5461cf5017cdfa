"""The config of `dummy`, which is that of its IPAM plugin."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cni.call import Call, read_call
from cni.errors import INVALID_CONFIG, CniError
from cni.result import DNS
from cni_dummy.main import read
from wiring.single.attach import Common


def call(**keys: Any) -> Call:
    environ = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    document = {"cniVersion": "1.1.0", "name": "net", "type": "dummy", **keys}
    return read_call(environ, json.dumps(document).encode())


def test_what_is_read() -> None:
    assert read(call(ipam={"type": "static"})) == Common("static", enable_dad=False)
    dns = {"nameservers": ["192.0.2.1"]}
    assert read(call(ipam={"type": "static"}, dns=dns)).dns == DNS(("192.0.2.1",))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("ipam", None, "an IPAM plugin"),
        ("ipam", {}, "an IPAM plugin"),
        ("ipam", {"type": ""}, "an IPAM plugin"),
        ("ipam", "static", "an object"),
        ("dns", 5, "an object"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any, expected: str) -> None:
    with pytest.raises(CniError, match=f'key "{key}".* expected .*{expected}') as caught:
        read(call(**{"ipam": {"type": "static"}, key: value}))
    assert caught.value.code == INVALID_CONFIG
