"""GC and STATUS."""

from __future__ import annotations

import errno
import sys
from typing import Any

import pytest

from cni.errors import NOT_AVAILABLE
from hostnet import nft
from hostnet.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Netlink, NetlinkError
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.portmap.conftest import TABLE, Container, World, elements, listed

NO_CLIENT = True
CONFIG: dict[str, Any] = {"cniVersion": "1.1.0", "name": "net", "type": "portmap"}
UDP = {"hostPort": 53, "containerPort": 53, "protocol": "udp"}


def test_only_strangers_of_this_network_go(world: World, one: Container, two: Container) -> None:
    one.add(8080, UDP)
    two.add(8081, conditionsV4=["ip saddr != 192.0.2.1"])
    one.add(8082, name="other")
    two.add(8083, name="network")
    world.runtime.gc(CONFIG, [("c1", "eth0"), ("c2", "eth1"), ("gone", "eth0")])
    text = listed()
    assert '"net/c1/eth0"' in text
    assert "8080" in text
    assert '"net/c2/eth0"' not in text
    assert "gate4" not in text
    assert '"other/c1/eth0"' in text
    assert '"network/c2/eth0"' in text
    world.runtime.gc(CONFIG, [])
    assert '"net/c1/eth0"' not in listed()
    for name in ("other", "network"):
        world.runtime.gc({**CONFIG, "name": name}, [])
    assert elements() == ""


def test_where_nothing_is_gc_does_nothing(runtime: Runtime, host: Host) -> None:
    runtime.gc(CONFIG, [])
    runtime.gc(CONFIG, [("c1", "eth0")])
    assert nft.run("list ruleset") == ""


def test_the_address_may_be_somebody_elses_by_now(one: Container, two: Container) -> None:
    one.add(8080)
    two.add(8081, prevResult=two.result(one.four))
    two.runtime.gc(CONFIG, [("c2", "eth0")])
    two.check(two.config(8081, prevResult=two.result(one.four)))
    two.delete()
    assert elements() == ""


def test_status_on_a_fresh_host_and_on_one_in_use(one: Container, runtime: Runtime) -> None:
    runtime.status(CONFIG)
    one.add(8080)
    runtime.status(CONFIG)
    one.delete()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"backend": "ipfw"}, '"backend"'),
        ({"snat": "yes"}, '"snat"'),
        ({"markMasqBit": 32}, '"markMasqBit"'),
        ({"conditionsV4": ["-s", "10.0.0.1"], "backend": "nftables"}, "a match for iptables"),
    ],
)
def test_status_of_a_config_no_add_would_take(
    keys: dict[str, Any], problem: str, runtime: Runtime
) -> None:
    with pytest.raises(PluginError, match="no port could be published: ") as error:
        runtime.status({**CONFIG, **keys})
    assert error.value.code == NOT_AVAILABLE
    assert problem in error.value.msg


def test_status_without_libnftables(
    one: Container, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(nft, "_LIBRARY", "libnothing.so.1")
        with pytest.raises(PluginError, match="libnftables cannot be loaded") as error:
            runtime.status(CONFIG)
        assert error.value.code == NOT_AVAILABLE
    one.add(8080)
    with monkeypatch.context() as patch:
        patch.setattr(nft, "_LIBRARY", "libnothing.so.1")
        patch.setitem(sys.modules, "nftables", None)
        # Where the rules are laid down, nothing needs it.
        runtime.status(CONFIG)
        one.delete()
        one.add(8080)
        one.delete()


def test_status_without_privileges(runtime: Runtime, host: Host, container: Namespace) -> None:
    # A namespace whose owner is another user namespace: nftables is there, and not ours to use.
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from cni_portmap import availability\n"
        "from cni.jsonvalue import JsonObject\n"
        "from cni_portmap.config import read\n"
        "try: availability.require(read(JsonObject({})))\n"
        "except OSError as error: print(error)\n"
    )
    said = host.command(
        "setpriv",
        "--bounding-set",
        "-net_admin",
        "--inh-caps",
        "-net_admin",
        sys.executable,
        "-c",
        script,
        *sys.path,
    ).stdout
    assert "Operation not permitted" in said


def test_a_kernel_without_netfilter_holds_no_ports(
    one: Container, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    original = Netlink.__init__

    def without_netfilter(nl: Netlink, protocol: int = NETLINK_ROUTE) -> None:
        if protocol == NETLINK_NETFILTER:
            opened.append(protocol)
            raise NetlinkError(errno.EPROTONOSUPPORT, "open a netlink socket")
        original(nl, protocol)

    monkeypatch.setattr(Netlink, "__init__", without_netfilter)
    config = one.add()
    one.check(config)
    one.delete()
    runtime.gc(CONFIG, [])
    assert len(opened) == 3
    keys = {"backend": "nftables"}
    for verb in (lambda: one.add(8080, **keys), lambda: one.check(one.config(8080, **keys))):
        with pytest.raises(PluginError, match="Protocol not supported"):
            verb()
    with pytest.raises(PluginError, match="Protocol not supported") as error:
        runtime.status({**CONFIG, **keys})
    assert error.value.code == NOT_AVAILABLE


def test_the_table_outlives_the_last_port(one: Container) -> None:
    one.add(8080)
    one.delete()
    assert TABLE in nft.run("list tables")
