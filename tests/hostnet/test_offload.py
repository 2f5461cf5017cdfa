"""The switch of the checksum offload, compared with what pyroute2 reads by ethtool."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from pyroute2.ethtool import Ethtool

from hostnet import link, offload, vxlan
from hostnet.netlink import Netlink, NetlinkError
from tests.kit.host import Host
from tests.kit.namespace import Namespace


@pytest.fixture
def nl(host: Host) -> Iterator[Netlink]:
    with Netlink() as socket:
        made = vxlan.create(socket, "vxlan42", 42, local=ip_address("192.0.2.1"))
        yield socket
        link.delete(socket, made.index)


def seen(name: str) -> bool:
    with Ethtool() as ethtool:
        return bool(ethtool.get_features(name).features["tx-checksum-ip-generic"].enable)


def test_off_and_on(nl: Netlink) -> None:
    assert offload.tx_checksum(nl, "vxlan42")
    for on in (False, False, True, True):
        offload.set_tx_checksum(nl, "vxlan42", on)
        assert offload.tx_checksum(nl, "vxlan42") == seen("vxlan42") == on


def test_in_the_namespace_of_the_socket(nl: Netlink, container: Namespace) -> None:
    def inside() -> None:
        assert offload.tx_checksum(nl, "vxlan42")
        offload.set_tx_checksum(nl, "vxlan42", False)

    container.run(inside)
    assert not seen("vxlan42")


def test_without_a_switch(nl: Netlink) -> None:
    with pytest.raises(NetlinkError, match=r"turn the checksum offload of lo off.*EOPNOTSUPP"):
        offload.set_tx_checksum(nl, "lo", False)


@pytest.mark.parametrize("name", ["nosuch", "fifteen-letters-and-more"])
def test_without_a_device(nl: Netlink, name: str) -> None:
    """The second one is no device's name though one is called like its beginning."""
    index = vxlan.create(nl, "fifteen-letters", 43, local=ip_address("192.0.2.1")).index
    with pytest.raises(NetlinkError, match=rf"read the checksum offload of {name}.*ENODEV"):
        offload.tx_checksum(nl, name)
    with pytest.raises(NetlinkError, match="ENODEV"):
        offload.set_tx_checksum(nl, name, False)
    assert offload.tx_checksum(nl, "fifteen-letters")
    link.delete(nl, index)
