"""The config of vxlan: every key, what it takes and what it refuses."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from cni.call import Call, read_call
from cni.errors import INVALID_CONFIG, CniError
from cni_vxlan import ipam_call, peers
from cni_vxlan.config import Config, Lenient, lenient, read
from tests.kit.versions import each_version

NODES = [
    {"address": "192.0.2.1", "subnets": ["10.244.1.0/24", "fd00:1:0:1::/64"]},
    {"address": "192.0.2.2", "subnets": ["10.244.2.0/24", "fd00:1:0:2::/64"]},
]
L3: dict[str, Any] = {
    "vni": 42,
    "network": ["10.244.0.0/16", "fd00:1::/48"],
    "peers": {"type": "static", "nodes": NODES},
    "ipam": {"type": "host-local"},
}
L2: dict[str, Any] = {
    "vni": 42,
    "peers": {"type": "multicast", "group": "239.1.1.1"},
    "ipam": {"type": "host-local", "subnet": "10.1.0.0/16"},
}
ETCD: dict[str, Any] = {
    "type": "etcd",
    "endpoints": ["http://192.0.2.9:2379"],
    "node": "node1",
}

ETCD_ONLY: dict[str, Any] = {"vni": 42, "peers": ETCD}


def call(config: dict[str, Any], command: str = "DEL") -> Call:
    environ = {"CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    document = {"cniVersion": "1.1.0", "name": "net", "type": "vxlan", **config}
    return read_call(environ, json.dumps(document).encode())


def config(base: dict[str, Any] = L3, /, **keys: object) -> Config:
    return read(call({**base, **keys}))


def refused(base: dict[str, Any] = L3, /, **keys: object) -> CniError:
    with pytest.raises(CniError) as caught:
        read(call({**base, **keys}))
    assert "expected" in caught.value.msg
    return caught.value


def assert_refused(error: CniError, key: str, *words: str) -> None:
    assert error.code == INVALID_CONFIG
    assert f'key "{key}"' in error.msg
    for word in words:
        assert word in error.msg


def nodes(*entries: object) -> dict[str, Any]:
    return {"type": "static", "nodes": list(entries)}


# ---- what is right -----------------------------------------------------------------------------


def test_l3_with_static_peers() -> None:
    found = config()
    one = found.overlay
    assert (one.network, one.vni, one.mode, one.port) == ("net", 42, "l3", 4789)
    assert (one.device, one.bridge) == ("vxlan42", "vxbr42")
    assert (one.underlay, one.local, one.mtu, one.checksum_offload) == ("", None, 0, True)
    assert one.pools == (ip_network("10.244.0.0/16"), ip_network("fd00:1::/48"))
    assert one.peers == peers.Static(
        (
            peers.StaticNode(
                ip_address("192.0.2.1"),
                (ip_network("10.244.1.0/24"), ip_network("fd00:1:0:1::/64")),
            ),
            peers.StaticNode(
                ip_address("192.0.2.2"),
                (ip_network("10.244.2.0/24"), ip_network("fd00:1:0:2::/64")),
            ),
        )
    )
    assert found.bridged.is_gateway
    assert not found.bridged.ip_masq
    assert not found.says_masquerade
    assert found.bridged.bridge == "vxbr42"
    assert found.bridged.ipam == "host-local"


def test_l2_with_a_group() -> None:
    found = config(L2)
    assert found.overlay.mode == "l2"
    assert found.overlay.peers == peers.Multicast(ip_address("239.1.1.1"))
    assert not found.bridged.is_gateway
    six = config(L2, peers={"type": "multicast", "group": "ff05::4789"})
    assert six.overlay.peers == peers.Multicast(ip_address("ff05::4789"))


def test_the_other_engines() -> None:
    assert config(L2, peers={"type": "evpn"}).overlay.peers == peers.Evpn()
    flannel = config({"peers": {"type": "flannel"}})
    assert flannel.overlay.peers == peers.Flannel("/run/flannel/subnet.env")
    assert (flannel.overlay.vni, flannel.overlay.bridge) == (1, "vxbr1")
    assert flannel.bridged.ipam == "host-local"
    assert config({"peers": {"type": "flannel"}, "vni": 7}).overlay.bridge == "vxbr7"
    l2 = config(L2, mode="l2", peers=nodes({"address": "2001:db8::1"}))
    assert l2.overlay.peers == peers.Static((peers.StaticNode(ip_address("2001:db8::1")),))


def test_etcd() -> None:
    found = config(peers=ETCD).overlay.peers
    assert isinstance(found, peers.Etcd)
    assert found.lengths == ((4, 24), (6, 64))
    assert found.settings.prefix == "/pycni/net"
    other = config(peers={**ETCD, "subnetLength": {"4": 20, "6": 56}}).overlay.peers
    assert isinstance(other, peers.Etcd)
    assert other.lengths == ((4, 20), (6, 56))
    stretched = config(L2, mode="l2", peers=ETCD).overlay.peers
    assert isinstance(stretched, peers.Etcd)
    assert stretched.lengths == ()


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("port", 8472, "port"),
        ("underlay", "eth1", "underlay"),
        ("mtu", 1400, "mtu"),
        ("bridge", "br-web", "bridge"),
        ("txChecksumOffload", False, "checksum_offload"),
    ],
)
def test_keys_of_the_overlay(key: str, value: object, field: str) -> None:
    assert getattr(config(**{key: value}).overlay, field) == value
    assert getattr(config(**{key.upper(): value}).overlay, field) == value


def test_keys_of_the_bridge() -> None:
    found = config(
        ipMasq=True,
        hairpinMode=True,
        isDefaultGateway=True,
        runtimeConfig={"mac": "02:00:00:00:00:01"},
        dns={"nameservers": ["10.0.0.1"]},
    )
    assert found.says_masquerade
    one = found.bridged
    assert (one.ip_masq, one.hairpin, one.is_default_gateway) == (True, True, True)
    assert one.mac == "02:00:00:00:00:01"
    assert one.dns is not None


def test_local() -> None:
    assert config(local="192.0.2.2").overlay.local == ip_address("192.0.2.2")
    assert config(L2, local="192.0.2.2").overlay.local == ip_address("192.0.2.2")


def test_the_ipam_type_of_l3_need_not_be_said() -> None:
    keys = {**L3}
    del keys["ipam"]
    assert read(call(keys)).bridged.ipam == "host-local"
    assert config(ipam={}).bridged.ipam == "host-local"
    assert config(L2, ipam={}).bridged.ipam == ""


@each_version
def test_every_version(version: str) -> None:
    assert read(call({**L3, "cniVersion": version})).overlay.vni == 42


# ---- what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("vni", [0, -1, 2**24, 2**40, "42", 4.2, True, [42]])
def test_wrong_vni(vni: object) -> None:
    assert_refused(refused(vni=vni), "vni", json.dumps(vni), "1 to 16777215")


def test_missing_vni() -> None:
    assert_refused(refused(vni=None), "vni", "it is missing", "the same on every host")


@pytest.mark.parametrize("mode", ["l4", "L3", 3, ["l3"]])
def test_unknown_mode(mode: object) -> None:
    assert_refused(refused(mode=mode), "mode", json.dumps(mode), '"l3", "l2"')


@pytest.mark.parametrize("engine", ["consul", "Static", 1, {}])
def test_unknown_engine(engine: object) -> None:
    error = refused(peers={"type": engine})
    assert_refused(error, "peers.type", json.dumps(engine), '"static", "multicast", "evpn"')


@pytest.mark.parametrize(
    ("engine", "mode", "others"),
    [
        ("multicast", "l3", '"static", "etcd", "flannel"'),
        ("evpn", "l3", '"static", "etcd", "flannel"'),
        ("flannel", "l2", '"static", "multicast", "evpn", "etcd"'),
    ],
)
def test_a_mode_that_the_engine_has_not(engine: str, mode: str, others: str) -> None:
    error = refused(L2, mode=mode, peers={"type": engine, "group": "239.1.1.1"})
    assert_refused(error, "mode", f'"{mode}"', engine, others)


@pytest.mark.parametrize("port", [0, 65536, -4, "4789", 4789.5])
def test_wrong_port(port: object) -> None:
    assert_refused(refused(port=port), "port", json.dumps(port), "1 to 65535")


@pytest.mark.parametrize("name", ["sixteencharacter", "a/b", "..", "a b", 5])
def test_wrong_underlay(name: object) -> None:
    assert_refused(refused(underlay=name), "underlay", str(name))


@pytest.mark.parametrize("name", ["sixteencharacter", "a/b", "..", "a b", 5])
def test_wrong_bridge(name: object) -> None:
    assert_refused(refused(bridge=name), "bridge", str(name))


def test_names_that_are_used_twice() -> None:
    assert_refused(refused(bridge="vxlan42"), "bridge", "vxlan42", "the VXLAN device's own")
    assert_refused(refused(underlay="vxlan42"), "underlay", "vxlan42")
    assert_refused(refused(underlay="vxbr42"), "underlay", "vxbr42")


@pytest.mark.parametrize("mtu", [-1, 1, 67, 1279, 65536, "1400", True])
def test_wrong_mtu(mtu: object) -> None:
    assert_refused(refused(mtu=mtu), "mtu", json.dumps(mtu))


def test_the_smallest_mtus() -> None:
    assert config(mtu=1280).overlay.mtu == 1280
    assert config(L2, mtu=68).overlay.mtu == 68


@pytest.mark.parametrize("key", ["txChecksumOffload", "isGateway", "ipMasq", "hairpinMode"])
def test_wrong_booleans(key: str) -> None:
    assert_refused(refused(**{key: "yes"}), key, '"yes"', "true or false")


def test_l3_needs_its_gateway() -> None:
    assert_refused(refused(isGateway=False), "isGateway", "false", 'mode "l3"')
    assert config(L2, isGateway=True).bridged.is_gateway


@pytest.mark.parametrize(
    ("network", "key", "words"),
    [
        (None, "network", "it is missing"),
        ([], "network", "10.244.0.0/16"),
        ("10.244.0.0/16", "network", "a list"),
        (["10.244.0.0"], "network[0]", "a subnet such as"),
        ([7], "network[0]", "a string"),
        (["10.244.1.0/16"], "network[0]", "the network is 10.244.0.0/16"),
        (["10.244.0.0/16", "10.245.0.0/16"], "network[1]", "one IPv4 subnet"),
    ],
)
def test_wrong_network(network: object, key: str, words: str) -> None:
    assert_refused(refused(network=network), key, words)


@pytest.mark.parametrize(
    "text", ["10.244.0.0/255.255.0.0", "fd00::%eth0/64", "10.244.0.0/1٦", "/16", "10.244.0.0/-1"]
)
def test_what_the_reference_takes_for_no_subnet(text: str) -> None:
    assert_refused(refused(network=[text]), "network[0]", "a subnet such as")


def test_ipv4_in_the_guise_of_ipv6_is_ipv4() -> None:
    found = config(ETCD_ONLY, network=["::ffff:10.244.0.0/112"])
    assert found.overlay.pools == (ip_network("10.244.0.0/16"),)


def test_a_network_where_there_is_none() -> None:
    assert_refused(refused(L2, network=["10.1.0.0/16"]), "network", 'mode "l2"', '"ipam"')
    error = refused({"peers": {"type": "flannel"}}, network=["10.1.0.0/16"])
    assert_refused(error, "network", "flanneld")


@pytest.mark.parametrize("local", ["x", "192.0.2.1/24", 7, "239.1.1.1", "0.0.0.0", "127.0.0.1"])
def test_wrong_local(local: object) -> None:
    assert_refused(refused(L2, local=local), "local", str(local))


def test_a_local_that_does_not_fit_the_peers() -> None:
    assert_refused(refused(local="192.0.2.7"), "local", "192.0.2.7", "192.0.2.1, 192.0.2.2")
    assert_refused(refused(local="2001:db8::1"), "local", "an IPv4 address")
    assert_refused(refused(L2, local="2001:db8::1"), "local", "an IPv4 address")
    assert_refused(refused(L2, local="fe80::1"), "local", "link-local")


@pytest.mark.parametrize("group", [None, "10.1.1.1", "2001:db8::1"])
def test_a_group_that_is_not_multicast(group: object) -> None:
    error = refused(L2, peers={"type": "multicast", "group": group})
    found = "it is missing" if group is None else f'found "{group}"'
    assert_refused(error, "peers.group", found, "a multicast address such as 239.1.1.1")


@pytest.mark.parametrize("group", ["x", 5, "239.1.1.1/24"])
def test_a_group_that_is_no_address(group: object) -> None:
    error = refused(L2, peers={"type": "multicast", "group": group})
    assert_refused(error, "peers.group", json.dumps(group), "an IP address")


@pytest.mark.parametrize(
    ("entries", "key", "words"),
    [
        ([], "peers.nodes", "this one too"),
        ([7], "peers.nodes[0]", "an object"),
        ([{}], "peers.nodes[0].address", "it is missing"),
        ([{"address": "x"}], "peers.nodes[0].address", '"x"'),
        ([{"address": "239.1.1.1"}], "peers.nodes[0].address", "unicast"),
        ([{"address": "10.244.0.9"}], "peers.nodes[0].address", "cannot carry itself"),
        ([{"address": "192.0.2.1"}], "peers.nodes[0].subnets", "it is missing"),
        ([{**NODES[0], "subnets": ["10.244.1.0"]}], "peers.nodes[0].subnets[0]", "10.244.1.0"),
        (
            [{**NODES[0], "subnets": ["10.244.1.1/24"]}],
            "peers.nodes[0].subnets[0]",
            "the network is 10.244.1.0/24",
        ),
        (
            [{**NODES[0], "subnets": ["10.244.1.0/24", "10.244.2.0/24"]}],
            "peers.nodes[0].subnets[1]",
            "one IPv4 subnet, beside 10.244.1.0/24",
        ),
        ([{**NODES[0], "subnets": ["10.245.1.0/24"]}], "peers.nodes[0].subnets", '"network"'),
        ([{**NODES[0], "subnets": ["10.0.0.0/8"]}], "peers.nodes[0].subnets", '"network"'),
        ([{**NODES[0], "subnets": ["10.244.1.4/31"]}], "peers.nodes[0].subnets", "at most 30"),
        ([NODES[0], {**NODES[1], "address": "192.0.2.1"}], "peers.nodes[1].address", "nodes[0]"),
        (
            [NODES[0], {**NODES[1], "address": "2001:db8::2"}],
            "peers.nodes[1].address",
            "an IPv4 address",
        ),
    ],
)
def test_wrong_nodes(entries: list[object], key: str, words: str) -> None:
    assert_refused(refused(peers=nodes(*entries)), key, words)


@pytest.mark.parametrize("other", ["10.244.1.0/24", "10.244.1.128/25", "10.244.0.0/22"])
def test_subnets_of_two_nodes_that_overlap(other: str) -> None:
    third = {"address": "192.0.2.3", "subnets": [other]}
    error = refused(peers=nodes(NODES[1], third, {**NODES[0], "subnets": ["10.244.1.0/24"]}))
    assert_refused(error, "peers.nodes", other, "10.244.1.0/24", "192.0.2.1", "192.0.2.3")


def test_subnets_have_no_place_in_l2() -> None:
    error = refused(L2, mode="l2", peers=nodes(*NODES))
    assert_refused(error, "peers.nodes[0].subnets", 'mode "l2"', '"ipam"')


@pytest.mark.parametrize(
    ("lengths", "key", "words"),
    [
        ({"4": 8}, "peers.subnetLength.4", "from 16"),
        ({"4": 31}, "peers.subnetLength.4", "to 30"),
        ({"4": "24"}, "peers.subnetLength.4", '"24"'),
        ({"6": 127}, "peers.subnetLength.6", "to 126"),
        ({"6": 32}, "peers.subnetLength.6", "from 48"),
        (24, "peers.subnetLength", "an object"),
    ],
)
def test_wrong_subnet_lengths(lengths: object, key: str, words: str) -> None:
    assert_refused(refused(peers={**ETCD, "subnetLength": lengths}), key, words)


def test_a_pool_that_is_smaller_than_the_default_length() -> None:
    error = refused(peers=ETCD, network=["10.244.0.0/26"])
    assert_refused(error, "peers.subnetLength.4", "it is missing", "by default", "10.244.0.0/26")


def test_wrong_keys_of_etcd() -> None:
    assert_refused(refused(peers={"type": "etcd"}), "peers.endpoints", "it is missing")
    assert_refused(refused(peers={**ETCD, "endpoints": ["etcd"]}), "peers.endpoints[0]", '"etcd"')


@pytest.mark.parametrize("path", ["subnet.env", 7])
def test_wrong_subnet_file(path: object) -> None:
    error = refused({"peers": {"type": "flannel", "subnetFile": path}})
    assert_refused(error, "peers.subnetFile", json.dumps(path))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ranges", [[{"subnet": "10.244.1.0/24"}]]),
        ("subnet", "10.244.1.0/24"),
        ("rangeStart", "10.244.1.7"),
        ("gateway", "10.244.1.1"),
    ],
)
def test_ranges_have_no_place_in_l3(key: str, value: object) -> None:
    error = refused(ipam={"type": "host-local", key: value})
    assert_refused(error, f"ipam.{key}", "this host's subnets")


def test_addresses_of_the_cluster_have_no_place_in_l3() -> None:
    assert_refused(refused(ipam={"type": "etcd-ipam"}), "ipam.type", '"host-local"')


def test_peers_that_are_no_object() -> None:
    assert_refused(refused(peers=["192.0.2.1"]), "peers", "an object")
    assert_refused(refused(peers=None), "peers.nodes", "it is missing")


# ---- DEL and GC --------------------------------------------------------------------------------


def test_lenient_reads_what_it_can() -> None:
    assert lenient(call(L3)) == Lenient(42, 4789, "vxbr42", "host-local")
    assert lenient(call({**L2, "bridge": "br0"})) == Lenient(42, 4789, "br0", "host-local")
    assert lenient(call({"vni": "x", "port": 0})) == Lenient(0, 4789, "", "host-local")
    assert lenient(call({"vni": 5, "bridge": 7, "peers": 3, "ipam": {"type": "x"}})) == Lenient(
        5, 4789, "", "x"
    )
    assert lenient(call({"vni": 5, "ipam": 3})) == Lenient(5, 4789, "vxbr5", "")


# ---- what the IPAM plugin sees -----------------------------------------------------------------


def seen(made: Call) -> dict[str, Any]:
    """The IPAM plugin's `ipam`, which must be the same in the decoded config and on stdin."""
    document: dict[str, Any] = json.loads(made.stdin)
    assert document == made.config.raw
    found: dict[str, Any] = document["ipam"]
    return found


def test_ranges_are_filled_in() -> None:
    subnets = (ip_network("10.244.1.0/24"), ip_network("fd00:1:0:1::/64"))
    keys = {**L3, "IPAM": {"dataDir": "/tmp/x", "routes": [{"dst": "0.0.0.0/0"}]}}
    del keys["ipam"]
    made = ipam_call.with_subnets(call(keys), subnets)
    assert seen(made) == {
        "type": "host-local",
        "dataDir": "/tmp/x",
        "routes": [{"dst": "0.0.0.0/0"}],
        "ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:1:0:1::/64"}]],
    }
    assert "IPAM" not in made.config.raw
    assert made.config.raw["vni"] == 42
    assert "ranges" not in seen(ipam_call.with_subnets(call(keys)))


def test_etcd_ipam_takes_the_connection_of_the_peers() -> None:
    engine = {**ETCD, "user": "u", "password": "p", "ca": "/ca.pem", "prefix": "/x"}
    keys = {**L2, "mode": "l2", "peers": engine}
    own = {"type": "etcd-ipam", "subnet": "10.1.0.0/16"}
    assert seen(ipam_call.with_connection(call({**keys, "ipam": own}))) == {
        **own,
        **{key: value for key, value in engine.items() if key != "type"},
    }
    other = {**own, "Endpoints": ["http://192.0.2.8:2379"], "user": "v", "password": "q"}
    assert seen(ipam_call.with_connection(call({**keys, "ipam": other}))) == {
        **other,
        "prefix": "/x",
        "node": "node1",
    }


def test_other_ipam_plugins_see_the_caller_as_it_came() -> None:
    for keys in (L2, {**L2, "peers": ETCD}, {**L2, "ipam": {"type": "etcd-ipam"}}):
        made = call(keys)
        assert ipam_call.with_connection(made) is made


def test_a_delete_is_derived_under_any_config() -> None:
    assert seen(ipam_call.lenient(call(L3)))["type"] == "host-local"
    assert "ranges" not in seen(ipam_call.lenient(call(L3)))
    for keys in (L2, {**L2, "peers": 5}, {"ipam": 5}, {"mode": 5}):
        made = call(keys)
        assert ipam_call.lenient(made) is made
