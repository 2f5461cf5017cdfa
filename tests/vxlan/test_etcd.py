"""The verbs with etcd peers on one host: when etcd is asked, and what its troubles do to a call."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from cni.errors import (
    CHECK_FAILED,
    IN_THE_WAY,
    INVALID_CONFIG,
    LIMITED,
    NO_ADDRESS,
    NOT_AVAILABLE,
    TRY_AGAIN_LATER,
)
from cni_vxlan import identity, watchstate
from cni_vxlan.etcd_layout import SharedConfig
from cni_vxlan.origin import Origin
from cni_vxlan.registry import Registry
from etcd_json import Etcd
from tests.kit.calls import PluginError, Runtime
from tests.kit.etcd import EtcdServer, User
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping
from tests.vxlan.conftest import FOUR, l2, l3, remove_overlay
from tests.vxlan.test_watcher import write
from tests.vxlan.watching import Watching

PREFIX = "/pycni/net"


def peers(server: EtcdServer | str, node: str = "node1", **keys: Any) -> dict[str, Any]:
    url = server if isinstance(server, str) else server.url
    return {"type": "etcd", "endpoints": [url], "node": node, **keys}


def routed(host: Host, server: EtcdServer | str, node: str = "node1", **keys: Any) -> Any:
    access = {key: keys.pop(key) for key in ("user", "password", "subnetLength") if key in keys}
    return l3(host, peers=peers(server, node, **access), **keys)


def stretched(host: Host, server: EtcdServer | str, **keys: Any) -> Any:
    ipam = {"type": "etcd-ipam", "ranges": [[{"subnet": "10.42.0.0/24"}]]}
    return l2(host, "etcd", peers=peers(server), ipam=ipam, **keys)


def all_keys(etcd: Etcd) -> dict[str, str]:
    return {one.key.removeprefix(f"{PREFIX}/"): one.value for one in etcd.list(PREFIX)[0]}


def join(
    etcd: Etcd, name: str, address: str, mode: str = "l3", origin: Origin | None = None
) -> Any:
    """Another node, by itself; one of another machine, of which there is a sign, with `origin`."""
    pools = (ip_network("10.244.0.0/16"), ip_network("fd00:1::/48")) if mode == "l3" else ()
    shared = SharedConfig(42, mode, 4789, 4, pools, (24, 64) if pools else ())
    mac = identity.vtep_mac(name, 42, 4)
    registry = Registry(etcd, "net", PREFIX, shared, origin)
    node = registry.join(name, ip_address(address), mac)
    if origin is not None:
        registry.announce(node)
    return node


def failed(runtime: Runtime, config: Any, container: Namespace, code: int, *words: str) -> None:
    with pytest.raises(PluginError) as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == code, caught.value.msg
    for word in words:
        assert word in caught.value.msg


def unavailable(runtime: Runtime, config: Any, *words: str, code: int = NOT_AVAILABLE) -> None:
    with pytest.raises(PluginError) as caught:
        runtime.status(config)
    assert caught.value.code == code, caught.value.msg
    for word in words:
        assert word in caught.value.msg


# ---- mode l3 -----------------------------------------------------------------------------------


def test_the_first_add_enters_the_host_and_reads_the_others(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer, etcd: Etcd
) -> None:
    other = join(etcd, "node2", "192.0.2.2")
    config = routed(underlay, server)
    runtime.status(config)
    assert "nodes/node1" not in all_keys(etcd)
    result = runtime.add(config, netns=container)
    found = all_keys(etcd)
    mac = identity.vtep_mac("node1", 42, 4)
    subnet = str(result["ips"][0]["address"]).rpartition(".")[0] + ".0"
    assert f"subnets/{subnet}-24" in found
    assert f'"address":"{FOUR}","mac":"{mac}"' in found["nodes/node1"]
    device = underlay.links()["vxlan42"]
    assert device["address"] == mac
    assert device["ifalias"].startswith(f"pycni vxlan net {subnet}/24 fd00:1:")
    routes = underlay.ip("route", "show", "dev", "vxlan42", "proto", "201")
    assert [one["dst"] for one in routes] == [str(other.subnets[0])]
    assert "192.0.2.2" in underlay.command("nft", "list", "ruleset").stdout
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    assert all_keys(etcd) == found
    remove_overlay(underlay)


def test_etcd_is_needed_once(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer, etcd: Etcd
) -> None:
    """The device remembers the subnets; containers come and go without etcd."""
    join(etcd, "node2", "192.0.2.2")
    config = routed(underlay, server)
    first = runtime.add(config, netns=container)
    routes = underlay.command("ip", "route").stdout
    server.kill()
    other = underlay.container()
    second = runtime.add(config, container="c2", netns=other)
    assert second["ips"][0]["gateway"] == first["ips"][0]["gateway"]
    assert underlay.command("ip", "route").stdout == routes
    runtime.check(config, second, container="c2", netns=other)
    assert ping(other, first["ips"][0]["address"].partition("/")[0]) is not None
    runtime.gc(config, [("c2", "eth0")])
    assert runtime.add(config, netns=underlay.container()) is not None
    runtime.delete(config, container="c2", netns=other)
    runtime.delete(config)
    remove_overlay(underlay)


def test_a_host_that_comes_back_has_its_subnets_again(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer
) -> None:
    config = routed(underlay, server)
    first = runtime.add(config, netns=container)
    runtime.delete(config, netns=container)
    remove_overlay(underlay)  # as a reboot does
    second = runtime.add(config, netns=container)
    assert [one["gateway"] for one in first["ips"]] == [one["gateway"] for one in second["ips"]]
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_a_peer_that_cannot_be_reached_keeps_no_container_from_starting(
    runtime: Runtime, underlay: Host, server: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody has a route to its subnet here; with static peers that is the user's own list."""
    container = underlay.container()
    with Etcd([server.url]) as etcd:
        other = join(etcd, "node2", "192.0.2.2")
    underlay.command("ip", "route", "add", str(other.subnets[0]), "via", "192.0.2.254")
    config = routed(underlay, server)
    runtime.add(config, netns=container)
    assert str(other.subnets[0]) in capsys.readouterr().err
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_etcd_is_down(runtime: Runtime, underlay: Host, container: Namespace) -> None:
    url = "http://127.0.0.1:2379"
    for config in (routed(underlay, url), stretched(underlay, url)):
        words = ('key "peers.endpoints"', url)
        failed(runtime, config, container, TRY_AGAIN_LATER, *words)
        unavailable(runtime, config, *words)
        assert set(underlay.links()) == {"lo", "eth0"}
    runtime.delete(routed(underlay, url), netns=container)  # which asks nobody
    runtime.gc(routed(underlay, url), [])


def test_a_wrong_password(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer
) -> None:
    server.enable_auth(User("net", "right", PREFIX))
    config = routed(underlay, server, user="net", password="wrong")
    words = ('"peers.user"', '"peers.password"')
    failed(runtime, config, container, INVALID_CONFIG, *words)
    unavailable(runtime, config, *words)
    assert set(underlay.links()) == {"lo", "eth0"}
    config = routed(underlay, server, user="net", password="right")
    runtime.add(config, netns=container)
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_the_pool_is_exhausted(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer
) -> None:
    keys: dict[str, Any] = {"network": ["10.244.0.0/25"], "subnetLength": {"4": 26}}
    for node in ("node2", "node3"):
        runtime.add(routed(underlay, server, node, **keys), netns=container)
        runtime.delete(routed(underlay, server, node, **keys), netns=container)
        remove_overlay(underlay)
    config = routed(underlay, server, **keys)
    failed(runtime, config, container, NO_ADDRESS, "2 of 2 subnets /26", "node2", "reclaim")
    unavailable(runtime, config, "2 of 2 subnets /26 of 10.244.0.0/25", "node2", "reclaim")
    assert set(underlay.links()) == {"lo", "eth0"}
    # Who has a place is not concerned.
    runtime.status(routed(underlay, server, "node2", **keys))


def test_another_configuration_than_the_first_nodes(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer, etcd: Etcd
) -> None:
    join(etcd, "node2", "192.0.2.2")
    config = routed(underlay, server, vni=43)
    failed(runtime, config, container, INVALID_CONFIG, "vni is 43 here and 42 there")
    unavailable(runtime, config, "vni is 43 here and 42 there")
    assert set(underlay.links()) == {"lo", "eth0"}
    assert "nodes/node1" not in all_keys(etcd)


def test_another_machine_has_the_name(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer, etcd: Etcd
) -> None:
    join(etcd, "node1", "192.0.2.9", origin=Origin("another", "boot"))
    before = all_keys(etcd)
    config = routed(underlay, server)
    words = ("192.0.2.1", "192.0.2.9", "both called node1", "a name of its own")
    failed(runtime, config, container, TRY_AGAIN_LATER, *words)
    unavailable(runtime, config, *words)
    assert all_keys(etcd) == before


def test_what_can_be_refused_is_refused_before_etcd_is_asked(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer, etcd: Etcd
) -> None:
    failed(runtime, routed(underlay, server, mtu=9000), container, INVALID_CONFIG, 'key "mtu"')
    failed(runtime, routed(underlay, server, bridge="lo"), container, IN_THE_WAY, "lo")
    assert all_keys(etcd) == {}


def test_a_node_does_not_change_its_name_under_containers(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer, etcd: Etcd
) -> None:
    """Under another name it would be another node, with other subnets."""
    runtime.add(routed(underlay, server), netns=container)
    other = underlay.container()
    renamed = routed(underlay, server, "node9")
    words = ('key "peers.node"', '"node9"', "take it back", "ip link set vxlan42 address")
    failed(runtime, renamed, other, IN_THE_WAY, *words)
    assert "nodes/node9" not in all_keys(etcd)
    with pytest.raises(PluginError) as caught:
        runtime.check(renamed, {"cniVersion": "1.1.0"}, netns=container)
    assert caught.value.code == CHECK_FAILED
    assert "has the MAC" in caught.value.msg
    runtime.delete(renamed, netns=container)
    # Nobody is left: it is node9 from now on.
    runtime.add(renamed, netns=other)
    assert "nodes/node9" in all_keys(etcd)
    assert underlay.links()["vxlan42"]["address"] == identity.vtep_mac("node9", 42, 4)
    runtime.delete(renamed, netns=other)
    remove_overlay(underlay)


def test_the_address_of_the_vtep_stays_while_the_host_has_it(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer
) -> None:
    """What etcd says of this host stays right, though another address is the first one now."""
    config = routed(underlay, server)
    underlay.command("ip", "address", "add", "192.0.2.77/24", "dev", "eth0")
    runtime.add(config, netns=container)
    underlay.command("ip", "address", "add", "198.51.100.1/24", "dev", "eth0")
    underlay.command("ip", "address", "del", "192.0.2.77/24", "dev", "eth0")
    runtime.add(config, container="c2", netns=underlay.container())
    assert underlay.links()["vxlan42"]["linkinfo"]["info_data"]["local"] == FOUR
    for name in ("c1", "c2"):
        runtime.delete(config, container=name)
    remove_overlay(underlay)


def test_status_wants_the_watcher_while_containers_run(
    runtime: Runtime,
    underlay: Host,
    container: Namespace,
    server: EtcdServer,
    tmp_path: Path,
) -> None:
    config = routed(underlay, server)
    runtime.status(config)
    runtime.add(config, netns=container)
    unavailable(runtime, config, "no watcher", "cnid overlay", code=LIMITED)
    with Watching(underlay, write(tmp_path / "conf", config)) as watching:
        watching.wait_state(watchstate.SYNCED)
        runtime.status(config)
    unavailable(runtime, config, "no watcher", code=LIMITED)
    runtime.delete(config, netns=container)
    runtime.status(config)
    remove_overlay(underlay)


# ---- mode l2 -----------------------------------------------------------------------------------


def test_a_segment_with_addresses_of_the_cluster(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer, etcd: Etcd
) -> None:
    join(etcd, "node2", "192.0.2.2", "l2")
    config = stretched(underlay, server)
    result = runtime.add(config, netns=container)
    found = all_keys(etcd)
    address = result["ips"][0]["address"].partition("/")[0]
    assert f"addr/{address}" in found
    assert "nodes/node1" in found
    flood = underlay.command("bridge", "fdb", "show", "dev", "vxlan42").stdout
    assert "00:00:00:00:00:00 dst 192.0.2.2" in flood
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    found = all_keys(etcd)
    assert f"addr/{address}" not in found
    assert "nodes/node1" in found  # the host goes on being a member
    assert set(underlay.links()) == {"lo", "eth0"}


def test_an_address_cannot_be_given_back_while_etcd_is_down(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer, etcd: Etcd
) -> None:
    """All else of the container goes; the runtime calls DEL again."""
    config = stretched(underlay, server)
    runtime.add(config, netns=container)
    server.stop()
    with pytest.raises(PluginError) as caught:
        runtime.delete(config, netns=container)
    assert caught.value.code == TRY_AGAIN_LATER
    assert set(underlay.links()) == {"lo", "eth0"}
    server.start()
    runtime.delete(config, netns=container)
    assert not [key for key in all_keys(etcd) if key.startswith("addr/")]


def test_a_segment_that_was_left_needs_etcd_again(
    runtime: Runtime, underlay: Host, container: Namespace, server: EtcdServer
) -> None:
    config = stretched(underlay, server)
    runtime.add(config, netns=container)
    runtime.delete(config, netns=container)
    server.kill()
    failed(runtime, config, container, TRY_AGAIN_LATER, 'key "peers.endpoints"')
    assert set(underlay.links()) == {"lo", "eth0"}
