"""Hypothesis strategies for results and for JSON that a hostile or careless caller may send."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

from hypothesis import strategies as st

from cni.result import DNS, Interface, IPConfig, Result, Route

U32 = 2**32 - 1
U32S = st.integers(0, U32)

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


IPV4 = st.builds(lambda bits, length: IPv4Interface((bits, length)), U32S, st.integers(0, 32))
# Shifted, so that none is IPv4-mapped: such are IPv4 addresses, as in Go.
IPV6 = st.builds(
    lambda bits, length: IPv6Interface((bits << 96 | bits, length)), U32S, st.integers(0, 128)
)
ADDRESSES = IPV4 | IPV6
GATEWAYS = st.none() | ADDRESSES.map(lambda found: found.ip)


def _routes(addresses: st.SearchStrategy[Any]) -> st.SearchStrategy[Route]:
    some = st.none() | st.integers(1, U32)
    return st.builds(
        Route,
        addresses.map(lambda found: found.network),
        st.none() | addresses.map(lambda found: found.ip),
        mtu=some,
        advmss=some,
        priority=some,
        table=st.none() | U32S,
        scope=st.none() | st.integers(0, 255),
    )


ROUTES = _routes(IPV4) | _routes(IPV6)


@st.composite
def results(draw: st.DrawFn) -> Result:
    """Any result a plugin may return."""
    optional = st.just("") | WORDS
    interfaces = draw(
        st.lists(
            st.builds(
                Interface,
                name=WORDS,
                mac=optional,
                sandbox=optional,
                mtu=st.integers(0, U32),
                socket_path=optional,
                pci_id=optional,
            ),
            max_size=3,
        )
    )
    index = st.sampled_from([None, *range(len(interfaces))])
    ips = draw(st.lists(st.builds(IPConfig, ADDRESSES, GATEWAYS, index), max_size=4))
    texts = st.lists(WORDS, max_size=2).map(tuple)
    dns = draw(st.builds(DNS, texts, optional, texts, texts))
    return Result(tuple(interfaces), tuple(ips), tuple(draw(st.lists(ROUTES, max_size=3))), dns)


# Values that a careless or hostile caller may send anywhere.
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 255, 65536, 2**31, 2**32, 34359738359, -(2**70), 1.0, 0.5, 1e300,
    "", " ", "0", "true", "eth0", "../../x", "a/b", "a\0b", "\ud800", "\u00e9\U0001f600", "x" * 300,
    "10.1.0.1", "10.1.0.2/16", "10.1.0.0/33", "01.2.3.4", "::1", "::1/128", "::ffff:1.2.3.4/95",
    "0.0.0.0/0", "02:00:5e:10:00:01", "02:00:5e:10:00:  ", "0.2.0", "1.1.0", "9.9.9",
    [], {}, [[]], [{}], [None], {"": None}, {"type": "host-local"}, {"subnet": "10.1.0.0/16"},
]  # fmt: skip
KEYS = ["", "name", "type", "ips", "address", "subnet", "gateway", "mac", "dst", "Name", "\ud800"]
JSON = st.sampled_from(VALUES) | st.recursive(
    st.sampled_from(VALUES) | st.text(st.characters(codec=None), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=2)
    ),
    max_leaves=3,
)
