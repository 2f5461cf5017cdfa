"""Empty and torn files, and contents changed in place: no address is lost, none leaks."""

from __future__ import annotations

import pytest

from cni.errors import NO_ADDRESS
from cni.ip import parse_address
from cni_host_local.store import name_of, split_holder, wide
from tests.host_local.network import V4, Network
from tests.kit.calls import PluginError

TORN = [b"", b"\n", b" \r\n\t", b"\0", b"\0" * 70, b"c1\r\n\0\0\0\0"]


@pytest.mark.parametrize("content", TORN)
def test_a_torn_reservation_is_free(network: Network, content: bytes) -> None:
    """As a killed reference leaves one, or a power cut."""
    network.ranges([{**V4, "rangeEnd": "10.1.2.3"}])
    network.write("10.1.2.2", content)
    network.write("10.1.2.3", content)
    assert {network.add("c1"), network.add("c2")} == {"10.1.2.2", "10.1.2.3"}


@pytest.mark.parametrize("content", TORN)
def test_a_torn_reservation_that_is_asked_for(network: Network, content: bytes) -> None:
    network.write("10.1.2.9", content)
    assert network.add(args="IP=10.1.2.9") == "10.1.2.9"
    assert network.held == {"10.1.2.9": "c1\r\neth0"}


@pytest.mark.parametrize("content", TORN)
def test_delete_removes_torn_ones(network: Network, content: bytes) -> None:
    network.write("10.1.2.9", content)
    network.delete()
    assert network.held == {}


@pytest.mark.parametrize("cut", range(len("c1\r\neth0")))
def test_cut_short_in_place(network: Network, cut: int) -> None:
    """The index, which no change in place makes stale, still knows whose it was."""
    network.add("c2")
    network.add("c1")
    network.write("10.1.2.3", "c1\r\neth0"[:cut])
    network.delete("c1")
    assert network.held == {"10.1.2.2": "c2\r\neth0"}
    network.check_index(must_be_current=True)


@pytest.mark.parametrize("cut", range(len("c1\r\neth0")))
def test_cut_short_before_the_index_knew(network: Network, cut: int) -> None:
    network.write("10.1.2.2", "c1\r\neth0"[:cut])
    network.delete("c1")
    left = {"10.1.2.2": "c"} if cut == 1 else {}
    assert network.held == left, "what may be another container's id stays until GC"
    network.gc()
    assert network.held == {}


def test_rewritten_in_place_for_another_container(network: Network) -> None:
    network.add("c1")
    network.add("c2")
    network.write("10.1.2.2", "c9\r\neth0")
    network.delete("c1")
    assert network.held == {"10.1.2.2": "c9\r\neth0", "10.1.2.3": "c2\r\neth0"}
    network.delete("c9")
    assert network.held == {"10.1.2.3": "c2\r\neth0"}
    network.check_index(must_be_current=True)


def test_emptied_in_place_while_the_range_is_full(network: Network) -> None:
    """Reading all again is worth it now and then, before a range is called full."""
    network.ranges([{**V4, "rangeEnd": "10.1.2.5"}])
    for n in range(4):
        network.add(f"c{n}")
    network.write("10.1.2.4", "")
    for _ in range(100_000):
        try:
            found = network.add("c9")
        except PluginError as error:
            if error.code != NO_ADDRESS:
                raise
        else:
            break
    else:
        pytest.fail("the emptied reservation was never found")
    assert found == "10.1.2.4"


def test_gc_finds_what_was_rewritten_in_place(network: Network) -> None:
    network.add("c1")
    network.write("10.1.2.2", "c9\r\neth0")
    network.gc(("c1", "eth0"))
    assert network.held == {}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"c1\r\neth0", (b"c1", b"eth0")),
        (b"c1", (b"c1", b"")),
        (b" c1 \r\n", (b"c1", b"")),
        (b"c1\neth0\n", (b"c1", b"eth0")),
        (b"\xff\xfe", (b"\xff\xfe", b"")),
        (b"two words", (b"two words", b"")),
        *((content, None) for content in TORN),
    ],
)
def test_split_holder(content: bytes, expected: tuple[bytes, bytes] | None) -> None:
    assert split_holder(content) == expected


@pytest.mark.parametrize(
    "text", ["10.1.2.3", "0.0.0.0", "255.255.255.255", "2001:db8::", "2001:db8::1:0:0:1", "fe80::1"]
)
def test_names_are_the_addresses(text: str) -> None:
    assert name_of(wide(parse_address(text))) == text


@pytest.mark.parametrize(
    "name",
    ["10.1.2.03", "10.1.2", "2001:DB8::9", "2001:db8:0::9", "10.1.2.9.bak", ".10.1.2.9", "x"],
)
def test_other_names_are_no_reservations(network: Network, name: str) -> None:
    """Nor are they for the reference, which looks for the names it would write."""
    network.write(name, "c9\r\neth0")
    network.gc()
    network.delete("c9")
    assert network.held == {name: "c9\r\neth0"}
