"""Static entries of a bridge: what `bridge fdb` sees of them, and that they go with their port."""

from __future__ import annotations

import errno

import pytest

from hostnet import bridge_fdb, link
from hostnet.netlink import Netlink, NetlinkError
from tests.kit.host import Host

MAC = "02:00:00:00:00:07"


def test_an_entry_is_static_and_goes_with_its_port(host: Host) -> None:
    host.command("ip", "link", "add", "br0", "type", "bridge")
    host.command("ip", "link", "add", "p0", "master", "br0", "type", "veth", "peer", "name", "p1")
    with Netlink() as nl:
        on, port = link.get(nl, "br0"), link.get(nl, "p0")
        bridge_fdb.add(nl, port.index, MAC)
        bridge_fdb.add(nl, port.index, MAC)
        shown = host.command("bridge", "fdb", "show", "br", "br0").stdout
        assert f"{MAC} dev p0 master br0 static" in shown
        assert bridge_fdb.static(bridge_fdb.dump(nl, on.index)) == {MAC: port.index}
        # The ports' own addresses are listed too, and are not static.
        assert port.mac in {one.mac for one in bridge_fdb.dump(nl, on.index)}
        link.delete(nl, port.index)
        assert bridge_fdb.static(bridge_fdb.dump(nl, on.index)) == {}
        link.delete(nl, on.index)


def test_entries_of_other_bridges_are_not_listed(host: Host) -> None:
    for number in (0, 1):
        host.command("ip", "link", "add", f"br{number}", "type", "bridge")
        pair = ("type", "veth", "peer", "name", f"q{number}")
        host.command("ip", "link", "add", f"p{number}", "master", f"br{number}", *pair)
    with Netlink() as nl:
        bridge_fdb.add(nl, link.get(nl, "p1").index, MAC)
        assert MAC not in {one.mac for one in bridge_fdb.dump(nl, link.get(nl, "br0").index)}
        for name in ("p0", "p1", "br0", "br1"):
            link.delete(nl, link.get(nl, name).index)


def test_a_link_that_is_no_port(host: Host) -> None:
    with Netlink() as nl, pytest.raises(NetlinkError) as caught:
        bridge_fdb.add(nl, link.get(nl, "lo").index, MAC)
    assert caught.value.errno in (errno.EINVAL, errno.EOPNOTSUPP)
