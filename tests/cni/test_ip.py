"""Agreement with Go's `net`, whose answers are in golden/addresses.json.

They are `net.ParseIP` and `net.ParseCIDR` of Go 1.19 (the newest agree on all of these), printed
as the reference prints them: `IP.String()` and `IPNet.String()`, with host bits in `interface`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cni.ip import is_inside, parse_address, parse_interface, parse_mac, parse_network

Parse = Callable[[str], object]

PARSERS: dict[str, Parse] = {
    "address": parse_address,
    "interface": parse_interface,
    "network": parse_network,
}
GO: list[dict[str, str | None]] = json.loads(
    (Path(__file__).parent / "golden/addresses.json").read_text()
)


def answer(parse: Parse, text: str) -> str | None:
    try:
        return str(parse(text))
    except ValueError:
        return None


@pytest.mark.parametrize("row", GO, ids=lambda row: repr(row["text"]))
def test_go_says_the_same(row: dict[str, str | None]) -> None:
    text = row["text"]
    assert text is not None
    assert {kind: answer(parse, text) for kind, parse in PARSERS.items()} == {
        kind: row[kind] for kind in PARSERS
    }


def test_a_mapped_address_is_the_ipv4_address() -> None:
    assert parse_address("::ffff:10.1.2.3") == IPv4Address("10.1.2.3")
    assert parse_interface("::ffff:10.1.2.3/120") == IPv4Interface("10.1.2.3/24")


def test_a_prefix_that_cuts_through_the_mapping_is_refused() -> None:
    """Go keeps the mask and then prints `1.2.3.4/0`, which would be another network."""
    assert answer(parse_interface, "::ffff:1.2.3.4/95") is None


def test_a_prefix_length_is_digits_and_few() -> None:
    assert answer(parse_interface, "10.1.2.3/" + "9" * 5000) is None


@given(st.ip_addresses())
def test_an_address_comes_back(address: object) -> None:
    text = str(address)
    assume(not text.startswith("::ffff:"))
    assert str(parse_address(text)) == text


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_an_ipv4_interface_comes_back(address: IPv4Address, length: int) -> None:
    text = f"{address}/{length}"
    assert str(parse_interface(text)) == text
    assert parse_network(text) == IPv4Interface(text).network


@given(st.ip_addresses(v=6), st.integers(0, 128))
def test_an_ipv6_interface_comes_back(address: object, length: int) -> None:
    text = f"{address}/{length}"
    assume(not text.startswith("::ffff:"))
    assert parse_interface(text) == IPv6Interface(text)
    assert str(parse_interface(text)) == text


@given(st.text(max_size=60) | st.text("0123456789abcdef:./%", max_size=60))
def test_any_text_is_parsed_or_a_value_error(text: str) -> None:
    for parse in (*PARSERS.values(), parse_mac):
        answer(parse, text)


@pytest.mark.parametrize(
    "text", ["02:00:5e:10:00:0A", "02-00-5E-10-00-0a", "0200.5e10.000a", "0200.5E10.000A"]
)
def test_hardware_addresses_in_every_spelling(text: str) -> None:
    assert parse_mac(text) == "02:00:5e:10:00:0a"


@pytest.mark.parametrize(
    "text",
    [
        "", "02:00:5e:10:00", "02:00:5e:10:00:01:02", "2:0:5e:10:0:1", "02:00:5e:10:00:0g",
        "02:00-5e:10:00:01", "02005e100001", "02:00:5e:10:00:  ", "02:00:5e:\t\t:00:01",
        "0200.5e10.\n\n\n\n", " 02:00:5e:10:00:01", "02:00:5e:10:00:01\n",
        "02:00:5e:10:00:\u0660\u0661", "02:00:5e:ff:fe:10:00:01",
    ],
)  # fmt: skip
def test_what_is_no_hardware_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a hardware address|non-hexadecimal"):
        parse_mac(text)


@pytest.mark.parametrize("text", ["01:00:5e:10:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_an_interface_cannot_have_a_group_address(text: str) -> None:
    with pytest.raises(ValueError, match="unicast"):
        parse_mac(text)


@pytest.mark.parametrize(
    ("subnet", "network", "expected"),
    [
        ("10.1.2.0/24", "10.1.0.0/16", True),
        ("10.1.0.0/16", "10.1.0.0/16", True),
        ("10.1.0.0/15", "10.1.0.0/16", False),
        ("10.0.0.0/15", "10.0.0.0/16", False),
        ("10.2.0.0/24", "10.1.0.0/16", False),
        ("fd00:1:0:7::/64", "fd00:1::/48", True),
        ("10.1.2.0/24", "::/0", False),
        ("::/96", "0.0.0.0/0", False),
    ],
)
def test_a_subnet_inside_a_network(subnet: str, network: str, expected: bool) -> None:
    assert is_inside(parse_network(subnet), parse_network(network)) is expected
