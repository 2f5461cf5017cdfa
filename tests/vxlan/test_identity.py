"""What is computed from a name or an address: MACs, aliases, names of links."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from cni.ip import parse_mac
from cni.names import ifname_problem
from cni_vxlan import identity

SUBNETS = (ip_network("10.244.1.0/24"), ip_network("fd00:1:0:1::/64"))


def test_an_alias_is_read_as_it_was_written() -> None:
    text = identity.alias("net", SUBNETS)
    assert text == "pycni vxlan net 10.244.1.0/24 fd00:1:0:1::/64"
    found = identity.read_alias(text)
    assert found is not None
    assert found.is_of("net")
    assert found.subnets == SUBNETS
    bare = identity.read_alias(identity.alias("net"))
    assert bare is not None
    assert bare.subnets == ()


@pytest.mark.parametrize(
    "text",
    ["", "uplink to the cellar", "pycni vxlan", "pycni vxlan net 10.1.0.0", "pycni vxlan net  x"],
)
def test_what_is_no_alias_of_ours(text: str) -> None:
    assert identity.read_alias(text) is None


def test_an_alias_of_the_longest_name_fits_and_tells_networks_apart() -> None:
    one, other = "n" * 200, "n" * 199 + "m"
    wide = (ip_network("255.255.255.0/24"), ip_network("2001:db80:1111:2222:3333:4444:5555::/112"))
    text = identity.alias(one, wide)
    assert len(text) <= 255
    found = identity.read_alias(text)
    assert found is not None
    assert found.is_of(one)
    assert not found.is_of(other)
    assert found.subnets == wide


def test_macs_are_stable_and_each_host_has_its_own() -> None:
    """Written down, for a release that computes others cuts hosts off from those before it."""
    assert identity.vtep_mac("192.0.2.1", 42, 4) == "ae:bb:fc:47:cf:96"
    assert identity.gateway_mac(42, ip_address("10.1.0.1")) == "d2:6f:fc:b0:16:8e"
    macs = {
        identity.vtep_mac(node, vni, version)
        for node in ("node1", "node2")
        for vni in (1, 2)
        for version in (4, 6)
    }
    assert len(macs) == 8
    for mac in macs:
        assert parse_mac(mac) == mac
        assert int(mac[:2], 16) & 3 == 2


def test_names_of_links_fit_for_every_vni() -> None:
    for name in (identity.device_name(2**24 - 1), identity.bridge_name(2**24 - 1)):
        assert ifname_problem(name) == ""
