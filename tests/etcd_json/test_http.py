"""Reading an answer, however it comes in pieces."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_json.http import Answer, BrokenAnswer
from etcd_json.stream import Stream

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
    b'9\r\n{"a":"b"}\r\n1;ext=1\r\n\n\r\n5\r\n{"c":\r\nA\r\n "d\r\n\r\n"}\n\r\n'
    b"0\r\nX: application/grpc\r\n\r\n"
)
LINES = [b'{"a":"b"}\n', b'{"c": "d\r\n', b"\r\n", b'"}\n']
PLAIN = b"HTTP/1.1 404 Not Found\r\ncontent-length: 11\r\n\r\nHello\nWorld"
TO_THE_END = b"HTTP/1.0 200 OK\r\n\r\nHello\nWorld"


class _Pieces(Stream):
    """A stream of these pieces, None for a time-out; then it is closed."""

    def __init__(self, pieces: Iterable[bytes | None]) -> None:
        self._pieces = iter(pieces)

    def receive(self, deadline: float) -> bytes:
        piece = next(self._pieces, b"")
        if piece is None:
            raise TimeoutError
        return piece


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % len(data) for place in places} | {len(data)})
    starts = [0, *ends[:-1]]
    return [data[start:end] for start, end in zip(starts, ends, strict=True) if end > start]


cuts = st.lists(st.integers(0, 1000), max_size=20)


@given(cuts)
def test_a_chunked_body(places: list[int]) -> None:
    answer = Answer(_Pieces(_cut(CHUNKED, places)), 0)
    assert answer.status == 200
    assert answer.body(0) == b"".join(LINES)
    assert answer.keeps


@given(cuts)
def test_a_body_of_known_length(places: list[int]) -> None:
    answer = Answer(_Pieces(_cut(PLAIN, places)), 0)
    assert answer.status == 404
    assert answer.body(0) == b"Hello\nWorld"
    assert answer.keeps


@given(cuts)
def test_a_body_to_the_end(places: list[int]) -> None:
    answer = Answer(_Pieces(_cut(TO_THE_END, places)), 0)
    assert answer.body(0) == b"Hello\nWorld"
    assert not answer.keeps


@given(cuts)
def test_lines_go_on_after_a_time_out(places: list[int]) -> None:
    head = CHUNKED.index(b"\r\n\r\n") + 4
    pieces: list[bytes | None] = [CHUNKED[:head]]
    for piece in _cut(CHUNKED[head:], places):
        pieces += [None, piece]
    answer = Answer(_Pieces(pieces), 0)
    found = []
    while True:
        try:
            line = answer.line(0)
        except TimeoutError:
            continue
        if line is None:
            break
        found.append(line)
    assert found == LINES


def test_an_answer_that_breaks_off_anywhere() -> None:
    for length in range(len(CHUNKED)):
        with pytest.raises(BrokenAnswer):
            Answer(_Pieces([CHUNKED[:length]]), 0).body(0)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 70_000,
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        Answer(_Pieces([data]), 0).body(0)


def test_an_empty_body() -> None:
    answer = Answer(_Pieces([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]), 0)
    assert answer.body(0) == b""
    assert answer.line(0) is None
