"""The DHCPv6 codec: what is written is read, and what nobody should send does no harm."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni_dhcp.daemon.message6 import (
    ADVERTISE,
    CLIENT_ID,
    IA_ADDRESS,
    IA_NA,
    REPLY,
    SERVER_ID,
    SOLICIT,
    STATUS,
    Message6,
    decode,
    encode,
    identity,
    lease6,
    offer,
    question,
)

WHO = identity("net/c1/eth0")
ADDRESS, OTHER = IPv6Address("fd99::5"), IPv6Address("fd99::6")
OPTIONS = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=300)), max_size=6)


@given(st.integers(0, 255), st.integers(0, 2**24 - 1), OPTIONS)
def test_what_is_written_is_read(kind: int, number: int, options: list[tuple[int, bytes]]) -> None:
    message = Message6(kind, number, tuple(options))
    assert decode(encode(message)) == message


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_message_or_a_value_error(data: bytes) -> None:
    head = encode(Message6(REPLY, 1, ((CLIENT_ID, WHO.duid), (SERVER_ID, b"x"))))
    for start in (data, head + data, head + _ia(data)):
        try:
            message = decode(start)
            lease6(message, offer(message, WHO), 0)
        except ValueError:
            pass


def _ia(inner: bytes, renewal: int = 0, rebinding: int = 0) -> bytes:
    head = WHO.iaid + renewal.to_bytes(4, "big") + rebinding.to_bytes(4, "big")
    return _option(IA_NA, head + inner)


def _option(code: int, value: bytes) -> bytes:
    return code.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value


def _address(address: IPv6Address, valid: int) -> bytes:
    return _option(IA_ADDRESS, address.packed + bytes(4) + valid.to_bytes(4, "big"))


def _reply(rest: bytes, kind: int = REPLY) -> Message6:
    known = encode(Message6(kind, 1, ((CLIENT_ID, WHO.duid), (SERVER_ID, b"server"))))
    return decode(known + rest)


def test_an_identity_stays_and_is_nobody_elses() -> None:
    assert identity("net/c1/eth0") == WHO
    assert identity("net/c1/eth1") != WHO
    assert WHO.duid[:2] == b"\0\4"
    assert (len(WHO.duid), len(WHO.iaid)) == (18, 4)


def test_a_solicitation() -> None:
    message = question(SOLICIT, 7, WHO, seconds=1.5, address=ADDRESS, wanted=(23, 24))
    assert message.option(8) == (150).to_bytes(2, "big")
    assert message.option(14) == b"", "rapid commit"
    assert message.option(6) == bytes((0, 23, 0, 24))
    assert message.option(IA_NA) == WHO.iaid + bytes(8) + _address(ADDRESS, 0)


def test_a_reply() -> None:
    servers = _option(23, IPv6Address("fd99::1").packed)
    message = _reply(_ia(_address(ADDRESS, 100), 10, 20) + servers + _option(24, b"\2ab\0"))
    found = offer(message, WHO)
    lease = lease6(message, found, 1000)
    assert lease is not None
    assert (lease.address, lease.server) == (ADDRESS, b"server")
    assert (lease.nameservers, lease.search) == (("fd99::1",), ("ab",))
    assert (lease.times.renewal, lease.times.rebinding, lease.times.expiry) == (1010, 1020, 1100)


def test_an_address_that_is_taken_away_for_another() -> None:
    message = _reply(_ia(_address(ADDRESS, 0) + _address(OTHER, 100)))
    lease = lease6(message, offer(message, WHO), 0, ADDRESS)
    assert lease is not None
    assert lease.address == OTHER


def test_the_address_that_one_has_comes_first() -> None:
    message = _reply(_ia(_address(OTHER, 100) + _address(ADDRESS, 100)))
    lease = lease6(message, offer(message, WHO), 0, ADDRESS)
    assert lease is not None
    assert lease.address == ADDRESS


@pytest.mark.parametrize("inside", [True, False])
def test_a_server_that_has_none(inside: bool) -> None:
    status = _option(STATUS, b"\0\2all gone")
    message = _reply(_ia(status) if inside else status, ADVERTISE)
    found = offer(message, WHO)
    assert found.given() is None
    assert found.problem == "NoAddrsAvail (all gone)"
    assert lease6(message, found, 0) is None


def test_messages_for_others() -> None:
    message = Message6(REPLY, 1, ((CLIENT_ID, b"other"), (SERVER_ID, b"server")))
    with pytest.raises(ValueError, match="another client"):
        offer(message, WHO)
    other = _option(IA_NA, b"xxxx" + bytes(8) + _address(ADDRESS, 100))
    assert offer(_reply(other), WHO).addresses == ()
