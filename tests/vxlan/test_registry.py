"""What nodes write to etcd: subnets that are nobody else's, records that are whole, ways out."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network

import pytest

from cni.errors import INVALID_CONFIG, NO_ADDRESS, TRY_AGAIN_LATER, CniError
from cni.record import replace
from cni_vxlan import registry as module
from cni_vxlan.etcd_layout import Node, SharedConfig
from cni_vxlan.origin import Origin, this_host
from cni_vxlan.registry import Registry
from etcd_json import Etcd, absent, put
from tests.kit.etcd import EtcdServer

PREFIX = "/pycni/blue"
POOLS = ip_network("10.244.0.0/16"), ip_network("fd00:1::/48")
BOTH = SharedConfig(42, "l3", 4789, 4, POOLS, (24, 64))
SMALL = SharedConfig(42, "l3", 4789, 4, (ip_network("10.9.0.0/24"),), (28,))
SEGMENT = SharedConfig(42, "l2", 4789, 4)


def registry(etcd: Etcd, shared: SharedConfig = BOTH, origin: Origin | None = None) -> Registry:
    return Registry(etcd, "blue", PREFIX, shared, origin)


def join(
    etcd: Etcd, number: int, shared: SharedConfig = BOTH, origin: Origin | None = None
) -> Node:
    return registry(etcd, shared, origin).join(
        f"node{number}", ip_address(f"192.0.2.{number}"), f"02:00:00:00:00:{number:02x}"
    )


def keys(etcd: Etcd) -> dict[str, object]:
    """Everything under the prefix, without the configuration."""
    found = {one.key.removeprefix(f"{PREFIX}/"): one.value for one in etcd.list(PREFIX)[0]}
    found.pop("config", None)
    return {key: json.loads(value) for key, value in found.items()}


# ---- entering -----------------------------------------------------------------------------------


def test_a_node_gets_a_subnet_of_each_family(etcd: Etcd) -> None:
    node = join(etcd, 1)
    four, six = node.subnets
    assert (four.prefixlen, six.prefixlen) == (24, 64)
    assert BOTH.problem(four) == BOTH.problem(six) == ""
    # The same number in both families.
    assert four.network_address.packed[2] == six.network_address.packed[7]
    record = {"address": "192.0.2.1", "mac": "02:00:00:00:00:01"}
    holder = {"node": "node1", **record}
    assert keys(etcd) == {
        "nodes/node1": {**record, "subnets": [str(four), str(six)]},
        f"subnets/{four.network_address}-24": holder,
        f"subnets/{six.network_address}-64": holder,
    }
    assert registry(etcd).nodes() == ([node], [], node.revision)


def test_a_node_that_comes_again_has_the_same(etcd: Etcd) -> None:
    first = join(etcd, 1)
    before = keys(etcd)
    assert join(etcd, 1) == first
    assert keys(etcd) == before


def test_a_node_that_comes_with_another_address_has_the_same(etcd: Etcd) -> None:
    first = join(etcd, 1)
    again = registry(etcd).join("node1", ip_address("192.0.2.99"), "02:00:00:00:00:99")
    assert again.subnets == first.subnets
    assert again.revision > first.revision
    found = keys(etcd)
    assert len(found) == 3
    assert {(one["address"], one["mac"]) for one in found.values()} == {  # type: ignore[index]
        ("192.0.2.99", "02:00:00:00:00:99")
    }


def test_two_nodes_with_one_name(etcd: Etcd) -> None:
    """The one that lives is not robbed; when it is dead, the other takes its place."""
    one, other = Origin("one", "first boot"), Origin("other", "x")
    first = join(etcd, 1, origin=one)
    lease = registry(etcd, origin=one).announce(first)
    with pytest.raises(CniError) as caught:
        registry(etcd, origin=other).join("node1", ip_address("192.0.2.7"), first.mac)
    assert caught.value.code == TRY_AGAIN_LATER
    for word in ("node1", "192.0.2.1", "192.0.2.7", "peers.node", "30 s"):
        assert word in caught.value.msg
    # The same machine may come back from a reboot with another address, however fast it is.
    again = registry(etcd, origin=Origin("one", "second boot"))
    moved = again.join("node1", ip_address("192.0.2.7"), first.mac)
    assert moved.subnets == first.subnets
    etcd.revoke(lease)
    taken = registry(etcd, origin=other).join("node1", ip_address("192.0.2.8"), first.mac)
    assert taken.subnets == first.subnets


def test_a_name_that_is_none(etcd: Etcd) -> None:
    for name in ("", "a/b", ".."):
        with pytest.raises(CniError, match="node's name") as caught:
            registry(etcd).join(name, ip_address("192.0.2.1"), "02:00:00:00:00:01")
        assert caught.value.code == INVALID_CONFIG
    assert keys(etcd) == {}


def test_sixteen_at_once(server: EtcdServer, etcd: Etcd) -> None:
    """All subnets of a pool are given out, each to one; there is none for the seventeenth."""
    gate = threading.Barrier(16)

    def enter(number: int) -> Node:
        with Etcd([server.url]) as own:
            own.get("x")  # connected
            gate.wait(20)
            return join(own, number, SMALL)

    with ThreadPoolExecutor(16) as pool:
        nodes = list(pool.map(enter, range(1, 17)))
    assert {one.subnets[0] for one in nodes} == set(SMALL.pools[0].subnets(new_prefix=28))
    for number, node in enumerate(nodes, 1):
        assert join(etcd, number, SMALL) == node
    assert len(keys(etcd)) == 32

    registry(etcd, SMALL).announce(nodes[0])
    with pytest.raises(CniError) as caught:
        join(etcd, 17, SMALL)
    assert caught.value.code == NO_ADDRESS
    message = caught.value.msg
    for part in (
        'out of subnets for one more node of network "blue"',
        "its 16 nodes hold 16 of 16 subnets /28 of 10.9.0.0/24",
        "no watcher lives on node10, node11, node12, node13, node14 and 10 more",
        "`cnitool overlay reclaim blue NODE`",
        'or enlarge "network"',
    ):
        assert part in message
    assert "node1, node10" in caught.value.details
    assert len(keys(etcd)) == 33


def test_one_family_is_full(etcd: Etcd) -> None:
    """Neither of a node's keys is written where the other cannot be."""
    pools = ip_network("10.9.0.0/27"), ip_network("fd00:1::/48")
    shared = SharedConfig(42, "l3", 4789, 4, pools, (28, 64))
    nodes = [join(etcd, number, shared) for number in (1, 2)]
    assert len({one.subnets for one in nodes}) == 2
    before = keys(etcd)
    for number, lives in ((3, False), (4, True)):
        if lives:
            for node in nodes:
                registry(etcd, shared).announce(node)
            before = keys(etcd)
        with pytest.raises(CniError) as caught:
            join(etcd, number, shared)
        assert "2 of 2 subnets /28 of 10.9.0.0/27 and 2 of 65536 subnets /64" in caught.value.msg
        assert ("all of them live: enlarge" in caught.value.msg) == lives
        assert keys(etcd) == before


def test_a_subnet_somebody_else_has_is_passed_over(etcd: Etcd) -> None:
    first = join(etcd, 1)
    etcd.delete(f"{PREFIX}/nodes/node1")  # half of what was there, as no node of ours leaves it
    second = join(etcd, 1)
    assert not set(first.subnets) & set(second.subnets)


def test_mode_l2_needs_no_subnet(etcd: Etcd) -> None:
    node = join(etcd, 1, SEGMENT)
    assert node.subnets == ()
    assert list(keys(etcd)) == ["nodes/node1"]
    assert join(etcd, 1, SEGMENT) == node


def test_a_network_is_one(etcd: Etcd) -> None:
    """The first node says what it is; all others must mean the same."""
    join(etcd, 1)
    for shared, part in (
        (replace(BOTH, vni=43), "vni is 43 here and 42 there"),
        (SEGMENT, 'mode is "l2" here and "l3" there'),
        (replace(BOTH, port=8472), "port is 8472 here and 4789 there"),
        (replace(BOTH, family=6), 'underlay is "IPv6" here and "IPv4" there'),
        (replace(BOTH, pools=POOLS[:1], lengths=(24,)), 'network is ["10.244.0.0/16"] here and ["'),
        (replace(BOTH, lengths=(25, 64)), 'subnetLength is {"4":25,"6":64} here and'),
    ):
        with pytest.raises(CniError) as caught:
            join(etcd, 2, shared)
        assert caught.value.code == INVALID_CONFIG
        assert part in caught.value.msg
        assert f"{PREFIX}/config" in caught.value.msg
    swapped = replace(BOTH, pools=POOLS[::-1], lengths=(64, 24))
    assert join(etcd, 2, swapped).subnets[0].version == 6


def test_the_first_of_many_says_what_the_network_is(server: EtcdServer) -> None:
    gate = threading.Barrier(8)

    def enter(number: int) -> int:
        shared = SharedConfig(number, "l2", 4789, 4)
        with Etcd([server.url]) as own:
            own.get("x")
            gate.wait(20)
            try:
                join(own, number, shared)
            except CniError as error:
                return -error.code
            return number

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(enter, range(1, 9)))
    assert outcomes[:-1] == [-INVALID_CONFIG] * 7
    first = outcomes[-1]
    with Etcd([server.url]) as etcd:
        config = etcd.get(f"{PREFIX}/config")
        assert config is not None
        assert json.loads(config.value)["vni"] == first
        assert list(keys(etcd)) == [f"nodes/node{first}"]


# ---- being there --------------------------------------------------------------------------------


def test_holding(etcd: Etcd) -> None:
    one = registry(etcd)
    node = join(etcd, 1)
    other = join(etcd, 2)
    assert one.holding("node1", node.subnets) == module.Holding(node, "")
    lease = one.announce(node)
    assert one.holding("node1", node.subnets) == module.Holding(node, "", True, "192.0.2.1")
    rebooted = registry(etcd, origin=Origin(this_host().machine, "another boot"))
    assert not rebooted.holding("node1", node.subnets).is_ours
    assert etcd.keep_alive(lease) > 0

    four, six = node.subnets
    assert f"{other.subnets[0]} is held by node2" in one.holding("node1", other.subnets).problem
    etcd.delete(one.keys.subnet(four))
    assert one.holding("node1", node.subnets).problem == f"{four} is held by nobody"
    etcd.put(one.keys.subnet(four), node.subnet_document())
    assert one.holding("node1", node.subnets).problem == ""
    etcd.put(one.keys.node("node1"), Node("node1", node.address, node.mac, (six,)).document())
    assert f"{four} is missing in the record" in one.holding("node1", node.subnets).problem
    etcd.delete(one.keys.node("node1"))
    assert one.holding("node1", node.subnets).problem == "etcd has no node node1 any more"


def test_update(etcd: Etcd) -> None:
    node = join(etcd, 1)
    one = registry(etcd)
    moved = one.update(node, ip_address("192.0.2.77"), "02:00:00:00:00:77")
    assert moved is not None
    assert moved.subnets == node.subnets
    assert one.nodes()[0] == [moved]
    before = keys(etcd)
    assert one.update(node, ip_address("192.0.2.78"), node.mac) is None  # it has changed since
    assert keys(etcd) == before


def test_signs_of_life(etcd: Etcd) -> None:
    one = registry(etcd)
    node = join(etcd, 1)
    lease = one.announce(node)
    assert one.announce(node, lease) == lease
    assert [each.alive for each in one.nodes(with_alive=True)[0]] == [True]
    assert [each.alive for each in one.nodes()[0]] == [False]
    etcd.revoke(lease)
    assert [each.alive for each in one.nodes(with_alive=True)[0]] == [False]


def test_records_that_no_node_of_ours_wrote(etcd: Etcd) -> None:
    """Nobody may draw into the tunnels what is not the overlay's, and nothing makes a node fail."""
    good = join(etcd, 1)
    start = '{"address":"192.0.2.9","mac":"02:00:00:00:00:09","subnets":'
    wrong = {
        "default": (start + '["0.0.0.0/0"]}', "0.0.0.0/0 is none of the network's"),
        "outside": (start + '["10.1.0.0/24"]}', "10.1.0.0/24 is none"),
        "wide": (start + '["10.244.0.0/23"]}', "10.244.0.0/23 is none"),
        "family": (start.replace("192.0.2.9", "2001:db8::9") + "[]}", "IPv4"),
        "group": (start.replace("192.0.2.9", "239.1.1.1") + "[]}", "of a host"),
        "mac": (start.replace("02:", "03:") + "[]}", '"mac"'),
        "none": ('{"subnets":[]}', '"address"'),
        "text": ("hello", "is not JSON"),
        "bytes": ("\udcff", "is not UTF-8"),
        "number": (start + "[7]}", '"subnets'),
        "host bits": (start + '["x"]}', "name"),
    }
    for name, (value, _) in wrong.items():
        etcd.put(f"{PREFIX}/nodes/{name}", value)
    nodes, problems, _ = registry(etcd).nodes()
    assert nodes == [good]
    assert len(problems) == len(wrong)
    by_name = {name: [one for one in problems if f"node {name}" in one] for name in wrong}
    for name, (_, part) in wrong.items():
        if name != "host bits":
            assert part in by_name[name][0]
    assert sum("a node's name: found 'host bits'" in one for one in problems) == 1


def test_what_a_watch_says(etcd: Etcd) -> None:
    one = registry(etcd)
    _, revision = etcd.list(one.keys.nodes)
    with etcd.watch(one.keys.nodes, revision + 1) as watch:
        node = join(etcd, 1)
        (event,) = next(watch)
        assert (one.name_of(event.key), one.changed(event)) == ("node1", node)
        etcd.delete(one.keys.node("node1"))
        (event,) = next(watch)
        assert (one.name_of(event.key), one.changed(event)) == ("node1", None)
        etcd.put(one.keys.node("node1"), "{}")
        (event,) = next(watch)
        with pytest.raises(CniError, match='node node1: key "address"'):
            one.changed(event)


# ---- leaving ------------------------------------------------------------------------------------


def test_reclaim(etcd: Etcd) -> None:
    node, other = join(etcd, 1), join(etcd, 2)
    others = {
        key: value for key, value in keys(etcd).items() if "node2" in json.dumps([key, value])
    }
    one = registry(etcd)
    freed = one.reclaim("node1")
    assert sorted(freed) == sorted(
        [one.keys.node("node1"), *(one.keys.subnet(subnet) for subnet in node.subnets)]
    )
    assert keys(etcd) == others
    assert one.nodes()[0] == [other]
    assert join(etcd, 1).subnets == node.subnets  # it finds its old one, since it is free


def test_who_is_alive_is_not_reclaimed(etcd: Etcd) -> None:
    one = registry(etcd)
    lease = one.announce(join(etcd, 1))
    before = keys(etcd)
    with pytest.raises(CniError, match=r"node1 is alive.*192\.0\.2\.1.*stop cnid there") as caught:
        one.reclaim("node1")
    assert caught.value.code == TRY_AGAIN_LATER
    assert keys(etcd) == before
    etcd.revoke(lease)
    assert len(one.reclaim("node1")) == 3


def test_who_was_never_there(etcd: Etcd) -> None:
    with pytest.raises(CniError, match="has no node node1 in etcd, only none at all"):
        registry(etcd).reclaim("node1")
    join(etcd, 2)
    with pytest.raises(CniError, match="has no node node1 in etcd, only node2") as caught:
        registry(etcd).reclaim("node1")
    assert caught.value.code == INVALID_CONFIG


def test_who_changes_meanwhile_is_not_reclaimed(etcd: Etcd) -> None:
    """The node came back between the look and the transaction."""
    node = join(etcd, 1)

    class Late(Etcd):
        def transact(self, if_, then, else_=()):  # type: ignore[no-untyped-def]
            module.Registry(etcd, "blue", PREFIX, BOTH).update(
                registry(etcd).nodes()[0][0], ip_address("192.0.2.50"), node.mac
            )
            return super().transact(if_, then, else_)

    (endpoint,) = etcd._session._endpoints
    with Late([endpoint.url]) as late, pytest.raises(CniError, match="changed meanwhile"):
        registry(late).reclaim("node1")
    assert len(keys(etcd)) == 3


def test_reclaim_of_a_broken_record(etcd: Etcd) -> None:
    node = join(etcd, 1)
    one = registry(etcd)
    etcd.put(one.keys.node("node1"), "nonsense")
    assert len(one.reclaim("node1")) == 3
    join(etcd, 1)
    etcd.delete(one.keys.node("node1"))  # only the subnets are left
    assert len(one.reclaim("node1")) == 2
    assert keys(etcd) == {}
    assert join(etcd, 3).subnets != node.subnets


def test_nothing_is_lost_with_an_answer(server: EtcdServer, etcd: Etcd) -> None:
    """An ADD that repeats one whose answer was lost finds what that one wrote."""
    node = Node("node1", ip_address("192.0.2.1"), "02:00:00:00:00:01", (ip_network("10.244.7.0/24"),
                ip_network("fd00:1:0:7::/64")))  # fmt: skip
    one = registry(etcd)
    etcd.transact(
        [absent(one.keys.node("node1"))],
        [
            put(one.keys.node("node1"), node.document()),
            *(put(one.keys.subnet(subnet), node.subnet_document()) for subnet in node.subnets),
        ],
    )
    assert join(etcd, 1).subnets == node.subnets
    assert len(keys(etcd)) == 3
