"""The bridge's config: every key, what it takes and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cni.call import read_call
from cni.errors import INVALID_CONFIG, INVALID_ENVIRONMENT, CniError
from cni.jsonvalue import shown
from cni.result import DNS
from cni_bridge.config import lenient, read
from wiring.bridged import Bridged

if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

IPAM = {"ipam": {"type": "host-local", "subnet": "10.1.0.0/16"}}
WRONG: list[JsonValue] = [1, 1.5, True, "x", [], [1], {}, {"a": 1}]


def call(config: dict[str, Any], args: str = "", command: str = "DEL") -> Any:
    environ = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": args,
    }
    document = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", **config}
    return read_call(environ, json.dumps(document).encode())


def config(env_args: str = "", /, **keys: object) -> Bridged:
    return read(call({**IPAM, **keys}, env_args))


def refused(env_args: str = "", /, **keys: object) -> CniError:
    with pytest.raises(CniError) as caught:
        read(call({**IPAM, **keys}, env_args))
    return caught.value


def test_defaults() -> None:
    found = read(call({}))
    assert found == Bridged(
        bridge="cni0",
        is_gateway=False,
        is_default_gateway=False,
        force_address=False,
        ip_masq=False,
        masq_backend="",
        mtu=0,
        hairpin=False,
        promisc=False,
        vlan=0,
        trunk=(),
        preserve_default_vlan=True,
        macspoofchk=False,
        enable_dad=False,
        disable_container_interface=False,
        port_isolation=False,
        mac="",
        ipam="",
        dns=None,
    )


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("isGateway", "is_gateway"),
        ("isDefaultGateway", "is_default_gateway"),
        ("forceAddress", "force_address"),
        ("ipMasq", "ip_masq"),
        ("hairpinMode", "hairpin"),
        ("promiscMode", "promisc"),
        ("preserveDefaultVlan", "preserve_default_vlan"),
        ("macspoofchk", "macspoofchk"),
        ("enabledad", "enable_dad"),
        ("portIsolation", "port_isolation"),
    ],
)
def test_booleans(key: str, field: str) -> None:
    assert getattr(config(**{key: True}), field) is True
    assert getattr(config(**{key: False}), field) is False
    assert getattr(config(**{key.upper(): True}), field) is True
    for value in WRONG:
        if not isinstance(value, bool):
            error = refused(**{key: value})
            assert error.code == INVALID_CONFIG
            assert f'key "{key}"' in error.msg
            assert shown(value) in error.msg
            assert "true or false" in error.msg


def test_default_gateway_makes_it_the_gateway() -> None:
    assert config(isDefaultGateway=True).is_gateway


@pytest.mark.parametrize("name", ["sixteencharacter", "a/b", "..", ".", "a b", "a:b"])
def test_bridge_names_the_kernel_refuses(name: str) -> None:
    error = refused(bridge=name)
    assert error.code == INVALID_CONFIG
    assert 'key "bridge"' in error.msg
    assert name in error.msg


@pytest.mark.parametrize("mtu", [-1, 1, 67, 65536, 2**40, "1500", True, 1.5])
def test_mtu_out_of_range(mtu: object) -> None:
    error = refused(mtu=mtu)
    assert error.code == INVALID_CONFIG
    assert 'key "mtu"' in error.msg


def test_mac_precedence() -> None:
    runtime, cni, env = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
    both = {"runtimeConfig": {"mac": runtime}, "args": {"cni": {"mac": cni}}}
    assert config(f"MAC={env}", **both).mac == runtime
    assert config(f"MAC={env}", args=both["args"]).mac == cni
    assert config(f"MAC={env}").mac == env
    assert config("MAC=").mac == ""


def test_wrong_macs_name_their_place() -> None:
    assert 'key "runtimeConfig.mac"' in refused(runtimeConfig={"mac": "x"}).msg
    assert 'key "args.cni.mac"' in refused(args={"cni": {"mac": "01:00:5e:00:00:01"}}).msg
    error = refused("MAC=banana")
    assert error.code == INVALID_ENVIRONMENT
    assert "CNI_ARGS MAC" in error.msg
    assert "banana" in error.msg


def test_trunk() -> None:
    trunk = [
        {"id": 42},
        {"minID": 100, "maxID": 102},
        {"id": 103},
        {"minID": 7, "maxID": 7, "id": 9},
    ]
    assert config(vlanTrunk=trunk).trunk == ((7, 7), (9, 9), (42, 42), (100, 103))
    assert config(vlanTrunk=[{}]).trunk == ()
    assert not config().vlan_aware
    assert not config(vlanTrunk=None).vlan_aware
    empty = config(vlanTrunk=[])
    assert empty.vlan_aware
    assert not empty.vlan_filtering


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ({"id": 0}, "vlanTrunk[0].id"),
        ({"id": 4095}, "vlanTrunk[0].id"),
        ({"minID": 5}, "vlanTrunk[0].maxID"),
        ({"maxID": 5}, "vlanTrunk[0].minID"),
        ({"minID": 9, "maxID": 5}, "vlanTrunk[0].maxID"),
        ({"minID": "1", "maxID": 5}, "vlanTrunk[0].minID"),
        (7, "vlanTrunk[0]"),
    ],
)
def test_wrong_trunk(entry: object, key: str) -> None:
    error = refused(vlanTrunk=[entry])
    assert error.code == INVALID_CONFIG
    assert f'key "{key}"' in error.msg


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"hairpinMode": True, "promiscMode": True}, "hairpin mode and promiscuous mode"),
        ({"vlan": 5, "vlanTrunk": [{"id": 6}]}, "vlan and vlanTrunk"),
        ({"disableContainerInterface": True}, "cannot use IPAM"),
        ({"bridge": "a-long-bridge", "vlan": 4000, "isGateway": True}, "a-long-bridge.4000"),
    ],
)
def test_keys_that_exclude_each_other(keys: dict[str, object], words: str) -> None:
    error = refused(**keys)
    assert error.code == INVALID_CONFIG
    assert words in error.msg


def test_the_backend_of_masquerade() -> None:
    for value, found in (("iptables", "iptables"), ("nftables", "nftables"), ("", ""), (None, "")):
        assert config(ipMasq=True, ipMasqBackend=value).masq_backend == found
    error = refused(ipMasq=True, ipMasqBackend="ebpf")
    assert error.code == INVALID_CONFIG
    assert 'key "ipMasqBackend": found "ebpf"' in error.msg


def test_layer_2_needs_a_version_that_can_tell_it() -> None:
    assert read(call({"cniVersion": "0.3.0", "ipam": {}})).ipam == ""
    with pytest.raises(CniError, match=r"cniVersion 0\.2\.0"):
        read(call({"cniVersion": "0.2.0", "ipam": {}}))


def test_dns_of_the_config() -> None:
    found = config(dns={"nameservers": ["10.0.0.1"], "search": ["example.org"]}).dns
    assert found is not None
    assert found.nameservers == ("10.0.0.1",)
    assert 'key "dns.nameservers[0]"' in refused(dns={"nameservers": [1]}).msg


@pytest.mark.parametrize("dns", [{}, {"domain": ""}, {"search": None}, {"other": 1}])
def test_dns_that_says_nothing_leaves_it_to_ipam(dns: dict[str, object]) -> None:
    assert config(dns=dns).dns is None


@pytest.mark.parametrize("key", ["nameservers", "search", "options"])
def test_an_empty_list_takes_ipams_dns_away(key: str) -> None:
    assert config(dns={key: []}).dns == DNS()


def test_lenient_reads_what_it_can() -> None:
    assert lenient(call({"bridge": 5, "ipam": {"type": "x"}})) == ("", "x")
    assert lenient(call({"bridge": "br", "ipam": 7})) == ("br", "")
