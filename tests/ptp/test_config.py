"""The config of `ptp`: every key, what it takes and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cni.call import Call, read_call
from cni.errors import INVALID_CONFIG, INVALID_ENVIRONMENT, CniError
from cni.result import DNS
from cni_ptp.config import Ptp, read
from wiring.single.attach import Common

IPAM = {"ipam": {"type": "host-local"}}


def call(args: str = "", /, **keys: Any) -> Call:
    environ = {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": args,
    }
    document = {"cniVersion": "1.1.0", "name": "net", "type": "ptp", **IPAM, **keys}
    return read_call(environ, json.dumps(document).encode())


def test_what_is_read() -> None:
    assert read(call()) == Ptp(Common(ipam="host-local"))
    dns = {"nameservers": ["192.0.2.1"]}
    assert read(call("MAC=02:00:5e:10:00:01", mtu=1400, ipMasq=True, dns=dns)) == Ptp(
        Common("host-local", DNS(("192.0.2.1",)), 1400), True, "02:00:5e:10:00:01"
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("ipMasq", "yes", "true or false"),
        ("ipMasq", 1, "true or false"),
        ("mtu", 67, "from 68 to 65535"),
        ("mtu", -1, "from 0 to 65535"),
        ("mtu", 65536, "from 0 to 65535"),
        ("mtu", "1500", "an integer"),
        ("mtu", 1500.0, "an integer"),
        ("dns", [], "an object"),
        ("ipam", {}, "an IPAM plugin"),
        ("ipam", None, "an IPAM plugin"),
        ("ipam", "host-local", "an object"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any, expected: str) -> None:
    with pytest.raises(CniError, match=f'key "{key}".* expected .*{expected}') as caught:
        read(call(**{key: value}))
    assert caught.value.code == INVALID_CONFIG


def test_a_wrong_backend() -> None:
    assert not read(call(ipMasqBackend="iptables")).ip_masq, "nothing is asked of it"
    with pytest.raises(CniError, match='key "ipMasqBackend"') as caught:
        read(call(ipMasq=True, ipMasqBackend="ebpf"))
    assert caught.value.code == INVALID_CONFIG


def test_wrong_macs() -> None:
    with pytest.raises(CniError, match=r'key "runtimeConfig\.mac"'):
        read(call(runtimeConfig={"mac": "x"}))
    with pytest.raises(CniError, match=r'key "args\.cni\.mac"'):
        read(call(args={"cni": {"mac": "01:00:5e:00:00:01"}}))
    with pytest.raises(CniError, match="CNI_ARGS MAC") as caught:
        read(call("MAC=banana"))
    assert caught.value.code == INVALID_ENVIRONMENT
