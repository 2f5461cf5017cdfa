"""The keys that all plugins with a bridge have: what the plugin says where the config does not."""

from __future__ import annotations

import json
from ipaddress import ip_interface, ip_network
from typing import Any

import pytest

from cni.call import Call, read_call
from cni.errors import CniError
from wiring import bridged, firewall
from wiring.bridged import Bridged


def call(**keys: Any) -> Call:
    environ = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    document = {"cniVersion": "1.1.0", "name": "net", "type": "vxlan", **keys}
    return read_call(environ, json.dumps(document).encode())


def test_the_plugins_defaults() -> None:
    assert bridged.read(call(), "vxbr42") == Bridged("vxbr42")
    assert bridged.read(call(), "vxbr42", is_gateway=True) == Bridged("vxbr42", is_gateway=True)


def test_the_config_goes_before_the_plugins_defaults() -> None:
    found = bridged.read(call(bridge="br9", isGateway=False), "vxbr42", is_gateway=True)
    assert found == Bridged("br9")
    assert bridged.read(call(isDefaultGateway=True), "vxbr42").is_gateway


def test_vlans_are_not_everybodys() -> None:
    assert bridged.read(call(vlan=5, vlanTrunk=7, preserveDefaultVlan=0), "br0") == Bridged("br0")


def test_promiscuous_hairpins_are_refused_everywhere() -> None:
    with pytest.raises(CniError, match="hairpin mode and promiscuous mode"):
        bridged.read(call(hairpinMode=True, promiscMode=True), "vxbr42")


def test_lenient_knows_the_plugins_bridge() -> None:
    assert bridged.lenient(call(ipam={"type": "x"}), "vxbr42") == ("vxbr42", "x")
    assert bridged.lenient(call(bridge=5), "vxbr42") == ("", "")


@pytest.mark.parametrize(
    ("address", "inside", "masqueraded"),
    [
        ("10.244.1.5/24", [], "10.244.1.5/24"),
        ("10.244.1.5/24", ["10.244.0.0/16"], "10.244.1.5/16"),
        ("10.244.1.5/24", ["10.244.0.0/16", "10.0.0.0/8", "10.240.0.0/12"], "10.244.1.5/8"),
        ("10.244.1.5/24", ["10.9.0.0/16", "fd00::/8"], "10.244.1.5/24"),
        ("10.244.1.5/24", ["10.244.1.0/28"], "10.244.1.5/24"),
        ("10.244.1.5/32", ["10.244.1.0/24"], "10.244.1.5/24"),
        ("fd00:1:0:1::5/64", ["fd00:1::/48", "10.244.0.0/16"], "fd00:1:0:1::5/48"),
        ("fd00:1:0:1::5/64", ["::/0"], "fd00:1:0:1::5/0"),
    ],
)
def test_how_far_an_address_reaches_as_itself(
    address: str, inside: list[str], masqueraded: str
) -> None:
    networks = tuple(ip_network(one) for one in inside)
    config = Bridged("br0", ip_masq=True, inside=networks)
    assert firewall.masqueraded(config, [ip_interface(address)]) == [ip_interface(masqueraded)]
    quiet = Bridged("br0", inside=networks)
    assert firewall.masqueraded(quiet, [ip_interface(address)]) == []
