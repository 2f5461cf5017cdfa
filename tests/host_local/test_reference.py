"""The reference's own plugin and ours in one directory, in both directions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.host_local.network import REFERENCE, V4, V6, Network, reference
from tests.kit.calls import Document, PluginError

pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="the reference suite is missing")


def ours(verb: str, network: Network, container: str = "c1", ifname: str = "eth0") -> Document:
    """As `reference`, by the code under test."""
    network.version = "1.0.0"
    try:
        answer = network.runtime.call(
            verb, network.config, container=container, ifname=ifname, netns=network.netns
        )
    except PluginError as error:
        return error.document
    return answer or {}


Suite = Callable[..., Document]
PAIRS = [
    pytest.param(ours, reference, id="ours-then-reference"),
    pytest.param(reference, ours, id="reference-then-ours"),
    pytest.param(ours, ours, id="ours-alone"),
    pytest.param(reference, reference, id="reference-alone"),
]


def addresses(result: Document) -> list[str]:
    return [one["address"] for one in result["ips"]]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_what_one_adds_the_other_finds_and_deletes(
    network: Network, first: Suite, second: Suite
) -> None:
    network.ranges([V4], [V6])
    assert addresses(first("ADD", network, "c1")) == ["10.1.2.2/24", "2001:db8:1::2/64"]
    assert addresses(first("ADD", network, "c1", "eth1")) == ["10.1.2.3/24", "2001:db8:1::3/64"]
    assert addresses(second("ADD", network, "c2")) == ["10.1.2.4/24", "2001:db8:1::4/64"]
    assert second("CHECK", network, "c1") == {}
    assert "duplicate allocation is not allowed" in second("ADD", network, "c1")["msg"]
    assert second("DEL", network, "c1") == {}
    assert first("DEL", network, "c2") == {}
    assert network.held == {"10.1.2.3": "c1\r\neth1", "2001:db8:1::3": "c1\r\neth1"}
    assert "Failed to find address added by container c1" in second("CHECK", network, "c1")["msg"]
    assert addresses(second("ADD", network, "c3")) == ["10.1.2.5/24", "2001:db8:1::5/64"]
    network.check_index()


def test_in_turn_through_a_whole_range(network: Network) -> None:
    """The same order, the same end, whoever's turn it is."""
    network.ranges(
        [
            {"subnet": "10.1.2.0/29", "gateway": "10.1.2.4"},
            {"subnet": "10.0.2.0/28", "rangeStart": "10.0.2.12", "rangeEnd": "10.0.2.14"},
        ]
    )
    got = []
    for n in range(8):
        got += addresses((ours, reference)[n % 2]("ADD", network, f"c{n}"))
    assert got == [
        *(f"10.1.2.{n}/29" for n in (1, 2, 3, 5, 6)),
        *(f"10.0.2.{n}/28" for n in (12, 13, 14)),
    ]
    for suite in (ours, reference):
        said = suite("ADD", network, "one-more")["msg"]
        assert "failed to allocate for range 0: no IP addresses available in range set: " in said
        assert "10.1.2.1-10.1.2.6,10.0.2.12-10.0.2.14" in said
    ours("DEL", network, "c1")
    reference("DEL", network, "c6")
    assert addresses(ours("ADD", network, "d1")) == ["10.1.2.2/29"]
    assert addresses(reference("ADD", network, "d2")) == ["10.0.2.13/28"]


CONFIGS: list[Document] = [
    {"ranges": [[V4]]},
    {"ranges": [[{**V4, "rangeStart": "10.1.2.9"}]]},
    {"ranges": [[{**V4, "rangeEnd": "10.1.2.9", "gateway": "10.1.2.77"}]]},
    {"ranges": [[{"subnet": "10.1.2.0/24"}, {"subnet": "10.1.3.0/24"}]]},
    {"subnet": "10.7.0.0/16", "gateway": "10.7.9.9"},
    {"subnet": "10.7.0.0/16", "ranges": [[V6], [V4]]},
    {"subnet": "fd00::/126"},
    {"ranges": [[V4]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.2.3"}]},
    {"ranges": [[{"subnet": "10.1.2.3/24"}]]},
    {"ranges": [[{"subnet": "10.1.2.0/31"}]]},
    {"ranges": [[{**V4, "gateway": "10.9.9.9"}], [{**V6, "gateway": "fe80::1"}]]},
    {"ranges": [[{**V4, "rangeStart": "10.9.9.9"}]]},
    {"ranges": [[{**V4, "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.8"}]]},
    {"ranges": [[V4], [V4]]},
    {"ranges": [[V4, V6]]},
    {"ranges": [[]]},
    {"ranges": []},
    {},
]


@pytest.mark.parametrize("ipam", CONFIGS)
def test_the_same_result_or_an_error_of_both(network: Network, ipam: Document) -> None:
    network.ipam = {"type": "host-local", "dataDir": network.ipam["dataDir"], **ipam}
    mine = ours("ADD", network)
    ours("DEL", network)
    for path in network.directory.glob("last_reserved_ip.*"):
        path.unlink()
    theirs = reference("ADD", network)
    theirs.pop("dns", None)  # 1.1.1 writes an empty one
    if "code" in theirs:
        assert "code" in mine
    else:
        assert mine == theirs


def test_the_reference_removes_a_file_the_index_still_knows(network: Network) -> None:
    """A container that comes back with the same id, served by the other suite in between."""
    network.add("c1")
    network.add("c2")
    reference("DEL", network, "c1")
    reference("ADD", network, "c1")
    assert network.held == {"10.1.2.3": "c2\r\neth0", "10.1.2.4": "c1\r\neth0"}
    network.delete("c1")
    assert network.held == {"10.1.2.3": "c2\r\neth0"}


def test_what_a_killed_reference_leaves(network: Network) -> None:
    """Killed between creating and writing: the reference never frees that address again."""
    network.ranges([{"subnet": "10.1.2.0/29"}])
    network.write("10.1.2.2", "")
    for n in range(4):
        assert "ips" in reference("ADD", network, f"c{n}")
    assert "no IP addresses available" in reference("ADD", network, "c9")["msg"]
    assert network.add("c9") == "10.1.2.2"
