"""Alternative names go with a link wherever it goes."""

from __future__ import annotations

import errno

import pytest

from hostnet import altname, link
from hostnet.netlink import Netlink, NetlinkError
from tests.kit.host import Host
from tests.kit.namespace import Namespace


def test_names_that_stay(host: Host, container: Namespace) -> None:
    with Netlink() as nl, container.open() as ns, ns.netlink() as inside:
        made = link.create_veth(nl, "v0", "v1")
        altname.add(nl, made.index, "one-name-more")
        altname.add(nl, made.index, "short")
        assert host.links()["v0"]["altnames"] == ["one-name-more", "short"]
        with pytest.raises(NetlinkError, match="the name short too") as caught:
            altname.add(nl, made.index, "short")
        assert caught.value.errno == errno.EEXIST
        link.change(nl, made.index, netns_fd=ns.fileno(), name="eth0")
        for name in ("one-name-more", "short"):
            assert link.get(inside, name).name == "eth0"
            assert altname.remove(inside, made.index, name)
            assert not altname.remove(inside, made.index, name, missing_ok=True)
        with pytest.raises(NetlinkError, match="take the name short"):
            altname.remove(inside, made.index, "short")
        assert link.find(inside, "short") is None
        link.delete(inside, made.index)
