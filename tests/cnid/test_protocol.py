"""The request's bytes: what is put in comes out, and whatever else comes is refused in words."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnid import protocol
from cnid.protocol import ProtocolError, Request
from tests.cnid import fake
from tests.cnid.daemon import Suite
from tests.kit.namespace import Namespace

# What os.environ may hold: any bytes but NUL, those that are no UTF-8 as surrogates.
BYTES = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b""))
TEXT = BYTES.map(os.fsdecode)
NAMES = BYTES.map(lambda data: os.fsdecode(data.replace(b"=", b"")))
FULL = TEXT.filter(bool)
NUMBER = st.integers(0, 2**64 - 1)
REQUESTS = st.builds(
    Request,
    build=st.text("0123456789abcdef", max_size=protocol.BUILD_LONGEST),
    umask=st.integers(0, 0o777),
    netns=st.tuples(NUMBER, NUMBER),
    since=NUMBER,
    plugin=FULL,
    executable=FULL,
    environ=st.dictionaries(NAMES, TEXT, max_size=5),
)


@given(REQUESTS)
def test_what_is_put_in_comes_out(request: Request) -> None:
    assert protocol.parse_request(protocol.format_request(request)) == request


@given(REQUESTS, st.data())
def test_half_a_request_is_none(request: Request, data: st.DataObject) -> None:
    """Unless it is cut behind a variable; but packets come whole or not at all."""
    whole = protocol.format_request(request)
    half = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        found = protocol.parse_request(half)
    except ProtocolError:
        return
    assert half.endswith(b"\0")
    assert found.environ.items() <= request.environ.items()


@given(st.binary(max_size=300).flatmap(lambda tail: st.sampled_from([tail, b"CNIDcall" + tail])))
def test_any_bytes_are_a_request_or_refused(message: bytes) -> None:
    try:
        found = protocol.parse_request(message)
    except ProtocolError:
        return
    assert found.plugin
    assert found.executable


def test_the_first_of_a_repeated_variable_counts() -> None:
    """As getenv(3) and os.environ have it; what is no NAME=VALUE does not."""
    request = Request("b", 0, (0, 0), 0, "p", "/x", {"A": "1"})
    message = protocol.format_request(request) + b"A=2\0nonsense\0\0=3\0"
    assert protocol.parse_request(message).environ == {"A": "1", "": "3"}


def test_the_launcher_s_request(suite: Suite, container: Namespace) -> None:
    environ = {"EMPTY": "", "EQUALS": "a=b", "BYTES": "\udcff\n"}
    before = time.monotonic_ns()
    with fake.listen(suite.socket) as listener:
        running = suite.start(
            "ADD", {"type": "bridge"}, container, environ=environ, umask=0o123, cwd=suite.path
        )
        connection, request = fake.accept(listener)
        connection.close()
        running.answer()
    assert before < request.since < time.monotonic_ns()
    assert request == Request(
        "test",
        0o123,
        protocol.identity(str(container)),
        request.since,
        "bridge",
        str(suite.path / "bridge"),
        suite.environ("ADD", str(container), **environ),
    )


@pytest.mark.parametrize("netns", ["", "/nowhere", "x\0y"])
def test_nothing_has_no_identity(netns: str) -> None:
    assert protocol.identity(netns) == (0, 0)
