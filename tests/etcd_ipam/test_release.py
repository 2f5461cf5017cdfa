"""DEL and GC free what is theirs, all of it, and nothing else; CHECK sees what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import CHECK_FAILED, INVALID_CONFIG
from tests.etcd_ipam.cluster import DUAL, V4, Keys, Node
from tests.etcd_ipam.proxy import Proxy
from tests.kit.versions import each_version, versions_since

# ---- DEL -----------------------------------------------------------------------------------------


@each_version
def test_del_frees_all_of_an_attachment_and_can_be_repeated(
    node: Node, keys: Keys, version: str
) -> None:
    node.version = version
    node.delete()
    node.ranges(*DUAL)
    node.result()
    node.result("c1", "eth1")
    node.result("c10")
    node.delete()
    assert sorted(one for one in keys.all if one.startswith("owner")) == [
        "owner/n1/c1/eth1",
        "owner/n1/c10/eth0",
    ]
    assert len(keys.all) == 6
    node.delete()
    assert len(keys.all) == 6


def test_del_is_this_nodes(node: Node, keys: Keys) -> None:
    other = node.another("n10")
    node.add()
    other.add()
    node.another("n100").delete()
    assert len(keys.all) == 4
    node.delete()
    assert set(keys.all.values()) == {
        f"{node.network}/n10/c1/eth0",
        f"{node.network} {keys.all['owner/n10/c1/eth0'].split(' ')[1]}",
    }


@pytest.mark.parametrize(
    "broken", [{"ranges": "banana"}, {"ranges": None}, {"routes": 5}, {"resolvConf": "/nowhere"}]
)
def test_del_with_a_config_that_became_wrong(
    node: Node, keys: Keys, broken: dict[str, Any]
) -> None:
    node.add()
    node.ipam |= broken
    node.extra = {"runtimeConfig": {"ips": ["banana"]}, "prevResult": {"ips": 5}}
    node.delete()
    assert keys.all == {}


def test_del_leaves_what_became_anothers(node: Node, keys: Keys) -> None:
    """Only by hand can it come to this."""
    node.ranges(*DUAL)
    first, second = node.add().split()
    keys.put(f"addr/{first}", "net/n2/c7/eth0")
    keys.put("owner/n1/c1/eth0", f"{node.network} {first} {second} 10.9.9.9 banana")
    node.delete()
    assert keys.all == {f"addr/{first}": "net/n2/c7/eth0"}


@pytest.mark.parametrize("value", ["", "\udcff", "banana", "  "])
def test_del_of_a_page_that_says_nothing(node: Node, keys: Keys, value: str) -> None:
    keys.put("owner/n1/c1/eth0", value)
    node.delete()
    assert keys.all == {}


def test_del_whose_answer_is_lost(node: Node, keys: Keys, proxy: Proxy) -> None:
    node.add()
    proxy.lose = 1
    assert node.fails("delete").code == 11
    node.delete()
    assert keys.all == {}


def test_del_while_the_attachment_is_made_anew(node: Node, keys: Keys, proxy: Proxy) -> None:
    """What the owner key said when it was read is not what is freed."""
    node.add(args="IP=10.1.2.9")
    url = node.ipam["endpoints"]

    def anew() -> None:
        node.ipam["endpoints"] = [keys_url]
        node.delete()
        node.add(args="IP=10.1.2.10")
        node.ipam["endpoints"] = url

    keys_url = f"http://{proxy.upstream}"
    proxy.before_txn = anew
    node.delete()
    assert keys.all == {}


# ---- GC ------------------------------------------------------------------------------------------


def test_gc_frees_what_is_not_valid(node: Node, keys: Keys) -> None:
    node.ranges(*DUAL)
    for n in range(4):
        node.add(f"c{n}")
        node.add(f"c{n}", "eth1")
    node.gc(("c1", "eth0"), ("c3", "eth1"), ("never", "eth0"))
    assert {one for one in keys.all if one.startswith("owner")} == {
        "owner/n1/c1/eth0",
        "owner/n1/c3/eth1",
    }
    assert len(keys.all) == 6
    node.gc()
    assert keys.all == {}
    node.gc()


def test_gc_is_this_nodes_and_this_networks(node: Node, keys: Keys) -> None:
    node.ipam["prefix"] = keys.prefix
    node.add()
    node.another("n10").add()
    node.another("n1", "other").add("c2")
    keys.put("owner/n1/c3/eth0", "somebody's note")
    node.gc()
    assert sorted(one for one in keys.all if one.startswith("owner")) == [
        "owner/n1/c2/eth0",
        "owner/n1/c3/eth0",
        "owner/n10/c1/eth0",
    ]


def test_gc_goes_on_after_an_error(node: Node, keys: Keys, proxy: Proxy) -> None:
    for n in range(4):
        node.add(f"c{n}")
    proxy.lose = 1
    error = node.fails("gc", ("c3", "eth0"))
    assert error.code == 11
    assert [one for one in keys.all if one.startswith("owner")] == ["owner/n1/c3/eth0"]


def test_gc_does_not_wait_for_ever(node: Node, keys: Keys, proxy: Proxy) -> None:
    for n in range(6):
        node.add(f"c{n}")
    proxy.lose = 99
    proxy.requests.clear()
    assert node.fails("gc").code == 11
    assert proxy.requests.count("/v3/kv/txn") == 3
    proxy.lose = 0


def test_gc_without_a_list_frees_nothing(node: Node, keys: Keys) -> None:
    node.add()
    environ = {"CNI_CONTAINERID": "", "CNI_IFNAME": ""}
    with pytest.raises(AssertionError) as caught:
        node.runtime.call("GC", node.config, environ=environ)
    assert f"error {INVALID_CONFIG}" in str(caught.value)
    assert len(keys.all) == 2


# ---- CHECK ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", versions_since("0.4.0"))
def test_check_of_what_is_right(node: Node, version: str) -> None:
    node.version = version
    node.ranges(*DUAL)
    result = node.result()
    node.check(result=result)
    result["ips"].append({**result["ips"][0], "address": "192.0.2.7/24"})
    node.check(result=result)  # another plugin's address is its own affair


def test_check_of_what_is_missing(node: Node, keys: Keys) -> None:
    node.ranges(*DUAL)
    result = node.result()
    first, second = (one["address"].partition("/")[0] for one in result["ips"])
    keys.etcd.delete(f"{keys.prefix}addr/{first}")
    keys.put(f"addr/{second}", "net/n2/c7/eth0")
    error = node.fails("check", result=result)
    assert error.code == CHECK_FAILED
    assert f"the key {keys.prefix}addr/{first} is missing" in error.msg
    assert f"{second} is held by 'net/n2/c7/eth0', expected '{node.network}/n1/c1/" in error.msg
    keys.etcd.delete(f"{keys.prefix}owner/n1/c1/eth0")
    assert f"the key {keys.prefix}owner/n1/c1/eth0 is missing" in node.fails("check").msg
    assert node.fails("check", "c2").code == CHECK_FAILED


def test_check_of_a_page_that_names_others(node: Node, keys: Keys) -> None:
    result = node.result()
    keys.put("owner/n1/c1/eth0", f"{node.network} 10.1.2.250")
    key = f"{keys.prefix}owner/n1/c1/eth0"
    assert f"the key {key} does not name" in node.fails("check", result=result).msg
    keys.put("owner/n1/c1/eth0", "other 10.1.2.250")
    assert f"the key {key} says 'other 10.1.2.250'" in node.fails("check", result=result).msg


def test_check_of_a_range_that_changed(node: Node) -> None:
    """Addresses outside the ranges are nobody's affair, but there must be some."""
    result = node.result()
    node.ranges([{**V4, "subnet": "10.7.0.0/16"}])
    node.check(result=result)
    assert node.fails("check", "c2", result=result).code == CHECK_FAILED
