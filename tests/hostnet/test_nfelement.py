"""Elements: byte for byte what libnftables sends, and what it reads back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import nftables
import pytest

from hostnet import nfelement
from hostnet.netfilter import Netfilter
from hostnet.netlink import DUMP_ATTEMPTS, NLA_F_NESTED, NetlinkError, parse_list
from hostnet.nfchange import Changes
from hostnet.nfelement import VERDICT, Element, Layout, Map
from tests.kit.host import Host

TABLE = "test"
PORTS = Map(TABLE, "ports", "inet_proto . inet_service", "ipv4_addr . inet_service")
GATES = Map(TABLE, "gates", "nf_proto . inet_proto . inet_service", VERDICT)
NEAR = Map(TABLE, "near", "ifname . ipv6_addr . inet_proto . inet_service")
SOURCES = Map(TABLE, "sources", "ipv4_addr")
OWNERS = Map(TABLE, "owners", "ifname . ifname . mark", "ipv6_addr . mark")
VTEPS = Map(TABLE, "vteps", "ifname . inet_service . vni . ipv6_addr")
MAPS = (PORTS, GATES, NEAR, SOURCES, OWNERS, VTEPS)

# The same element for libnftables and for us.
SAME = [
    (
        'ports { tcp . 8080 comment "net/c1/eth0" : 10.1.0.2 . 80 }',
        Element(PORTS, (6, 8080), (IPv4Address("10.1.0.2"), 80), "net/c1/eth0"),
    ),
    (
        "ports { sctp . 65535 : 255.255.255.255 . 1 }",
        Element(PORTS, (132, 65535), (IPv4Address("255.255.255.255"), 1)),
    ),
    ("gates { ipv4 . udp . 53 : jump gate }", Element(GATES, (2, 17, 53), ("gate",))),
    (
        'near { "cni-podman0" . fd00::2 . tcp . 80 comment "x" }',
        Element(NEAR, ("cni-podman0", IPv6Address("fd00::2"), 6, 80), (), "x"),
    ),
    ("sources { 10.1.0.2 }", Element(SOURCES, (IPv4Address("10.1.0.2"),))),
    (
        'owners { "0123456789abcde" . "a" . 0x00000001 comment "' + "x" * 127 + '" '
        ": ::ffff:10.1.0.2 . 0x80000418 }",
        Element(
            OWNERS,
            ("0123456789abcde", "a", 1),
            (IPv6Address("::ffff:10.1.0.2"), 0x80000418),
            "x" * 127,
        ),
    ),
    (
        'vteps { "eth0" . 4789 . 0x2a . fd00::2 }',
        Element(VTEPS, ("eth0", 4789, 42, IPv6Address("fd00::2"))),
    ),
    (
        'vteps { "eth0" . 4789 . 0xfffffe . fd00::2 }',
        Element(VTEPS, ("eth0", 4789, 0xFFFFFE, IPv6Address("fd00::2"))),
    ),
]
IDS = [text.split("{")[0].strip() for text, _element in SAME]


@pytest.fixture
def nft(host: Host) -> nftables.Nftables:
    library = nftables.Nftables()
    commands = [f"add table inet {TABLE}", f"add chain inet {TABLE} gate"]
    commands += (one.declaration for one in MAPS)
    assert library.cmd("\n".join(commands)) == (0, "", "")
    host.share_nft(TABLE)
    return library


@pytest.fixture
def nl(nft: nftables.Nftables) -> Iterator[Netfilter]:
    with Netfilter() as made:
        yield made
    nft.cmd("\n".join(f"flush {kind(one)} inet {TABLE} {one.name}" for one in MAPS))


def kind(of: Map) -> str:
    return "set" if of.data is None else "map"


def commit(nl: Netfilter, *elements: Element) -> None:
    changes = Changes()
    for one in elements:
        changes.create(one)
    changes.commit(nl, nl.generation(), "test")


def listed(nft: nftables.Nftables, of: Map) -> str:
    """The map's elements as `nft` prints them, on one line."""
    code, output, error = nft.cmd(f"list {kind(of)} inet {TABLE} {of.name}")
    assert code == 0, error
    return " ".join(output.split())


def flat(data: bytes, depth: int = 0) -> list[tuple[int, int, bytes]]:
    """Attributes as (depth, type, value), nested ones entered, as libnftables prints them."""
    found: list[tuple[int, int, bytes]] = []
    at = 0
    for kind, value in parse_list(data):
        raw = int.from_bytes(data[at + 2 : at + 4], "little")
        at += (len(value) + 7) & ~3
        if raw & NLA_F_NESTED:
            found += [(depth, kind, b""), *flat(value, depth + 1)]
        else:
            found.append((depth, kind, value))
    return found


def said(debug: str, kind: int) -> list[tuple[int, int, bytes]]:
    """The attributes of the last message of this type in libnftables' own trace (debug "mnl")."""
    message = next(
        part
        for part in debug.split("| message length |")[::-1]
        if part.split("\n")[1].startswith(f"| {kind:05} |")
    )
    rows = [line.split("|") for line in message.splitlines() if line.startswith("|")][4:]
    attributes: list[tuple[int, bool, int, bytearray]] = []  # length, is nested, type, data
    for row in rows:
        if "\x1b" in row[1]:
            numbers = "".join(c if c.isdigit() else " " for c in strip_colours("|".join(row)))
            size, kind_ = map(int, numbers.split()[:2])
            attributes.append((size, "N" in strip_colours(row[2]), kind_, bytearray()))
        else:
            attributes[-1][3].extend(bytes.fromhex(row[1]))
    found: list[tuple[int, int, bytes]] = []
    open_until: list[int] = []  # bytes left in each nested attribute we are in
    for length, is_nested, number, value in attributes:
        while open_until and open_until[-1] <= 0:
            open_until.pop()
        found.append((len(open_until), number, bytes(value[: length - 4])))
        padded = (length + 3) & ~3
        taken = 4 if is_nested else padded
        open_until = [left - taken for left in open_until]
        if is_nested:
            open_until.append(padded - 4)
    return found


def strip_colours(text: str) -> str:
    for code in ("\x1b[1;31m", "\x1b[1;32m", "\x1b[1;34m", "\x1b[0m"):
        text = text.replace(code, "")
    return text


@pytest.mark.parametrize(("text", "element"), SAME, ids=IDS)
def test_bytes_are_libnftables_own(
    text: str, element: Element, nft: nftables.Nftables, nl: Netfilter
) -> None:
    nft.set_debug("mnl")
    code, output, error = nft.cmd(f"add element inet {TABLE} {text}")
    assert code == 0, error
    nft.set_debug(0)
    theirs = said(output, nfelement.NEWSETELEM)
    start = next(i for i, one in enumerate(theirs) if one[:2] == (0, nfelement.LIST_ELEMENTS))
    ours = [(depth + 1, kind, value) for depth, kind, value in flat(element.whole())]
    assert ours == theirs[start + 1 :]


@pytest.mark.parametrize(("text", "element"), SAME, ids=IDS)
def test_both_read_what_the_other_wrote(
    text: str, element: Element, nft: nftables.Nftables, nl: Netfilter
) -> None:
    assert nfelement.get(nl, element) is None
    assert nft.cmd(f"add element inet {TABLE} {text}")[0] == 0
    theirs = listed(nft, element.map)
    found = nfelement.get(nl, element)
    assert found is not None
    assert (found.key, found.data, found.comment) == (element.key, element.data, element.comment)
    changes = Changes()
    changes.delete(element)
    changes.create(element)
    changes.commit(nl, nl.generation(), "test")
    assert listed(nft, element.map) == theirs
    assert text.split("{", 1)[1].strip(" }") in theirs


def test_a_missing_map_or_table_is_a_missing_element(nl: Netfilter) -> None:
    wanted = Element(Map(TABLE, "nothing", "mark"), (1,))
    assert nfelement.get(nl, wanted) is None
    assert nfelement.dump(nl, wanted.map) == []
    assert nfelement.keys(nl, wanted.map) == set()
    assert nfelement.get(nl, Element(Map("nowhere", "nothing", "mark"), (1,))) is None
    assert nfelement.dump(nl, Map("nowhere", "nothing", "mark")) == []


def test_a_dump_of_a_thousand(nl: Netfilter) -> None:
    made = [Element(PORTS, (6, port), (IPv4Address("10.1.0.2"), port)) for port in range(1, 1001)]
    commit(nl, *made)
    found = {one.key: one.data for one in nfelement.dump(nl, PORTS)}
    assert found == {one.key: one.data for one in made}
    assert nfelement.keys(nl, PORTS) == {PORTS.key.pack(one.key) for one in made}


class Disturbed(Netfilter):
    """Some walks give an element twice, as those of a map that is being resized do."""

    __slots__ = ("disturbed",)

    def __init__(self, disturbed: int = 3) -> None:
        super().__init__()
        self.disturbed = disturbed

    def dump(self, kind: int, payload: bytes, what: str = "") -> list[tuple[int, bytes]]:
        answers = super().dump(kind, payload, what)
        self.disturbed -= 1
        return answers if self.disturbed < 0 else [*answers, answers[0]]


def test_a_walk_that_gives_an_element_twice_is_repeated(nl: Netfilter) -> None:
    mine = Element(SOURCES, (IPv4Address("10.1.0.2"),))
    commit(nl, mine)
    with Disturbed() as disturbed:
        assert [one.key for one in nfelement.dump(disturbed, SOURCES)] == [mine.key]
    resized = pytest.raises(NetlinkError, match="the map was resized during each of")
    with Disturbed(DUMP_ATTEMPTS) as disturbed, resized:
        nfelement.keys(disturbed, SOURCES)


@pytest.mark.parametrize("text", ["x" * 200, "é" * 100, "a" + "é" * 80, "€" * 60], ids=ascii)
def test_a_long_comment_is_cut_between_characters(
    text: str, nl: Netfilter, nft: nftables.Nftables
) -> None:
    commit(nl, Element(SOURCES, (IPv4Address("10.1.0.2"),), (), text))
    found = nfelement.dump(nl, SOURCES)[0].comment
    assert text.startswith(found[:-1])
    assert found.endswith("…")
    assert 120 < len(found.encode()) <= nfelement.LONGEST_COMMENT
    nft.set_json_output(True)
    document: Any = json.loads(nft.cmd(f"list set inet {TABLE} sources")[1])
    assert document["nftables"][1]["set"]["elem"][0]["elem"]["comment"] == found


def test_user_data_of_others_holds_no_comment() -> None:
    assert nfelement.comment_of(b"") == ""
    assert nfelement.comment_of(b"\x07\x02ab") == ""
    assert nfelement.comment_of(b"\x07\x02ab\x00\x03yes") == "yes"


@pytest.mark.parametrize(
    ("layout", "values"),
    [
        ("inet_service", (65536,)),
        ("inet_proto", (256,)),
        ("mark", (-1,)),
        ("vni", (-1,)),
        ("vni", (1 << 24,)),
        ("ifname", ("0123456789abcdef",)),
        ("ipv4_addr", (IPv6Address("::1"),)),
        ("ipv6_addr", (IPv4Address("10.1.0.2"),)),
        ("inet_service", ("http",)),
        ("ipv4_addr", (1,)),
    ],
)
def test_a_value_of_another_type_is_refused(layout: str, values: nfelement.Values) -> None:
    with pytest.raises(ValueError, match=r"is not of type|do not fit"):
        Layout(layout).pack(values)


def test_values_are_narrowed_by_type() -> None:
    assert nfelement.number(5) == 5
    assert nfelement.mapped(IPv4Address("10.1.0.2")) == IPv6Address("::ffff:10.1.0.2")
    for address in (IPv4Address("10.1.0.2"), IPv6Address("fd00::1"), IPv6Address("::ffff:1.2.3.4")):
        mapped = nfelement.mapped(address)
        assert nfelement.unmapped(mapped, address.version) == address
    with pytest.raises(TypeError):
        nfelement.number("5")
    with pytest.raises(TypeError):
        nfelement.unmapped(5, 4)
