"""As much of HTTP/1.1 (RFC 9112) as the gateway speaks: POST, and answers that may never end.

Not `http.client`: it brings the `email` package, 15 ms for a plugin that starts; and after a
timeout within an answer it cannot go on, as a watch must that was silent for a while.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from etcd_json.endpoint import Endpoint
    from etcd_json.stream import Stream

_HEAD_BYTES = 1 << 16
_TO_THE_END = -1


class BrokenAnswer(OSError):  # noqa: N818
    """The peer closed within an answer, or what it sent is no HTTP."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EPROTO, why)


def request(
    endpoint: Endpoint, path: str, body: bytes, token: str, headers: tuple[str, ...] = ()
) -> bytes:
    """The bytes of a POST. token: for `Authorization`, may be empty."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {endpoint.authority}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    if token:
        lines.append(f"Authorization: {token}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


class Answer:
    """One answer, read from a stream as far as asked.

    Everything read so far is kept here, so that after TimeoutError the same call goes on.
    Raises BrokenAnswer and what the stream raises.
    """

    def __init__(self, stream: Stream, deadline: float) -> None:
        self._stream = stream
        self._raw = bytearray()  # as it came
        self._body = bytearray()  # what it means and nobody took yet
        self._searched = 0
        self._left = 0  # bytes of the body or of its present chunk
        self._chunk_ends = False  # the line end after a chunk is to come
        self.ended = False
        self._read_head(deadline)

    def _read_head(self, deadline: float) -> None:
        version, _, rest = self._line(deadline).partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise BrokenAnswer(f"it does not speak HTTP: {version[:20]!r}")
        self.status = int(rest[:3])
        fields: dict[str, str] = {}
        while line := self._line(deadline):
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        self._chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        length = fields.get("content-length", "")
        if self._chunked:
            self._left = 0
        elif length.isdecimal():
            self._left = int(length)
            self.ended = not self._left
        else:
            self._left = _TO_THE_END
        self.keeps = (
            version == "HTTP/1.1"
            and fields.get("connection", "").lower() != "close"
            and self._left != _TO_THE_END
        )
        """Whether the stream may carry another request after this answer."""

    def body(self, deadline: float) -> bytes:
        """All that was not read yet, to the answer's end."""
        while not self.ended:
            if not self._decode():
                self._receive(deadline)
        return self._take(len(self._body))

    def line(self, deadline: float) -> bytes | None:
        """The next line of a body that comes line by line; None once it has ended."""
        while True:
            end = self._body.find(b"\n", self._searched)
            if end >= 0:
                return self._take(end + 1)
            self._searched = len(self._body)
            if self.ended:
                return self._take(len(self._body)) or None
            if not self._decode():
                self._receive(deadline)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._body[:count])
        del self._body[:count]
        self._searched = 0
        return taken

    def _receive(self, deadline: float) -> None:
        data = self._stream.receive(deadline)
        if not data:
            if self._left == _TO_THE_END and not self._chunked:
                self.ended = True
                return
            raise BrokenAnswer("it closed the connection")
        self._raw += data

    def _decode(self) -> bool:
        """Move some of what came to the body; whether there was some, or the answer has ended."""
        if self.ended:
            return True
        if not self._left and not self._next_chunk():
            return self.ended
        count = len(self._raw) if self._left == _TO_THE_END else min(self._left, len(self._raw))
        self._body += self._raw[:count]
        del self._raw[:count]
        if self._left != _TO_THE_END:
            self._left -= count
            self._chunk_ends = self._chunked
            self.ended = not self._chunked and not self._left
        return count > 0

    def _next_chunk(self) -> bool:
        """Read the size of the next chunk; False if more must come first, or none follows.

        RFC 9112, section 7.1: size in hex, extensions, line end, data, line end; after the chunk
        of size 0 come trailers, which say nothing here, and an empty line.
        """
        start = 2 if self._chunk_ends else 0
        end = self._raw.find(b"\r\n", start)
        if end < 0:
            if len(self._raw) > _HEAD_BYTES:
                raise BrokenAnswer("a chunk without a size")
            return False
        size = self._raw[start:end].partition(b";")[0].strip()
        try:
            self._left = int(size, 16)
        except ValueError:
            self._left = -1
        if self._left < 0:
            raise BrokenAnswer(f"a chunk of the size {bytes(size[:20])!r}")
        if self._left:
            del self._raw[: end + 2]
            return True
        last = self._raw.find(b"\r\n\r\n", end)
        if last >= 0:
            del self._raw[: last + 4]
            self.ended = True
        return False

    def _line(self, deadline: float) -> str:
        """A line of the head without its end."""
        while (end := self._raw.find(b"\n")) < 0:
            if len(self._raw) > _HEAD_BYTES:
                raise BrokenAnswer("its head does not end")
            data = self._stream.receive(deadline)
            if not data:
                raise BrokenAnswer("it closed the connection")
            self._raw += data
        line = self._raw[:end].rstrip(b"\r").decode("latin-1")
        del self._raw[: end + 1]
        return line
