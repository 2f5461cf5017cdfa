"""A warm DEL is over when the link is gone, and does not wait for the kernel to tidy up."""

from __future__ import annotations

import statistics
import time

from hostnet import link
from hostnet.netlink import Netlink
from tests.cnid.daemon import Daemon, Suite
from tests.kit.host import Host
from tests.kit.namespace import Namespace

NETWORK = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "quick0"}
ROUNDS = 9


def test_a_delete_is_quicker_than_the_kernels(
    host: Host, suite: Suite, daemon: Daemon, container: Namespace
) -> None:
    """Than RTM_DELLINK of such a pair alone, which no DEL that waits for it can be."""
    host.share_bridge("quick0")
    whole, alone = [], []
    with Netlink() as nl:
        for _ in range(ROUNDS):
            assert suite.call("ADD", NETWORK, container).code == 0
            start = time.monotonic()
            assert suite.call("DEL", NETWORK, container).code == 0
            whole.append(time.monotonic() - start)
            assert "eth0" not in container.links()
            assert [one.name for one in link.dump(nl, kind="veth")] == []
            made = link.create_veth(
                nl, "alone0", "alone1", mac=link.random_mac(), peer_mac=link.random_mac()
            )
            start = time.monotonic()
            link.delete(nl, made.index)
            alone.append(time.monotonic() - start)
    assert statistics.median(whole) < statistics.median(alone)
    daemon.calls(2 * ROUNDS)
