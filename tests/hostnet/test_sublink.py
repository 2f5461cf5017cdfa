"""macvlan on this kernel; ipvlan and vlan are tested on the second one."""

from __future__ import annotations

import errno

import pytest

from hostnet import link, sublink
from hostnet.netlink import Netlink, NetlinkError
from tests.kit.host import Host
from tests.kit.namespace import Namespace


@pytest.mark.parametrize("mode", sublink.MACVLAN_MODES)
def test_macvlan_in_the_container(mode: str, host: Host, container: Namespace) -> None:
    with Netlink() as nl, container.open() as ns, ns.netlink() as inside:
        below = link.create_veth(nl, "v0", "v1")
        made = link.create(
            nl,
            "tmp0",
            "macvlan",
            data=sublink.macvlan(mode, 2000),
            mac="02:00:00:00:00:05" if mode != "passthru" else "",
            mtu=1400,
            below=below.index,
            netns_fd=ns.fileno(),
            inside=inside,
        )
        assert "tmp0" not in host.links()
        seen = container.links()["tmp0"]["linkinfo"]["info_data"]
        assert seen["mode"] == mode == sublink.macvlan_mode(made)
        assert sublink.macvlan_queue(made) == 2000
        assert (made.kind, made.mtu, made.peer) == ("macvlan", 1400, below.index)
        assert made.netnsid is not None
        link.delete(inside, made.index)
        link.delete(nl, below.index)


def test_a_link_of_another_kind_says_nothing(host: Host) -> None:
    with Netlink() as nl:
        lo = link.get(nl, "lo")
    assert (sublink.macvlan_mode(lo), sublink.macvlan_queue(lo)) == ("", 0)
    assert sublink.ipvlan_mode(lo) == ""
    assert sublink.vlan_number(lo) is None


def test_which_kinds_the_kernel_has(host: Host) -> None:
    with Netlink() as nl:
        assert sublink.kernel_has(nl, "macvlan")
        assert not sublink.kernel_has(nl, "no-such-kind")
        for kind in ("dummy", "ipvlan", "vlan"):
            known = sublink.kernel_has(nl, kind)
            assert known == (_refused(nl, kind) != errno.EOPNOTSUPP)
    assert set(host.links()) == {"lo"}, "nothing was made"


def _refused(nl: Netlink, kind: str) -> int:
    try:
        made = link.create(nl, "probe0", kind)
    except NetlinkError as error:
        return error.errno or 0
    link.delete(nl, made.index)
    return 0
