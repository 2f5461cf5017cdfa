"""A conversation with a cluster: endpoints in turn, the token, the connection that is kept.

Which failure may be repeated at another endpoint is decided here. A read may, always. A change may
as long as its request has not gone out: after that only the answer says whether it was made, and
without one the caller must look (`Unreachable.unknown`).
"""

from __future__ import annotations

import _thread
import errno
import time

from etcd_json.document import child, decode, encode, number, string
from etcd_json.endpoint import Endpoint
from etcd_json.errors import Denied, EtcdError, Unreachable
from etcd_json.http import Answer, BrokenAnswer, request
from etcd_json.refusal import NO_AUTH, is_about_token, refused, words
from etcd_json.stream import Cancelled, NotAccepted, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from etcd_json.document import Document

    T = TypeVar("T")

_OK = 200
_NO_GATEWAY_WORDS = ("connection closed", "connection error", "transport is closing")
_NO_GATEWAY = (
    " (if it stays so: with --client-cert-auth, the uses of etcd's own certificate must have "
    "clientAuth among them, for its gateway)"
)
_SERVER_FAILURE = 500


class _Attempt:
    """One endpoint's turn: until `by` while another can be asked, until `end` if none can.

    is_out: a change was sent and its answer is not there yet.
    """

    __slots__ = ("by", "cancel", "changes", "end", "endpoint", "is_login", "is_out")

    def __init__(
        self,
        endpoint: Endpoint,
        by: float,
        end: float,
        changes: bool = False,
        cancel: int = -1,
    ) -> None:
        self.endpoint = endpoint
        self.by = by
        self.end = end
        self.changes = changes
        self.cancel = cancel
        self.is_login = False
        self.is_out = False


class _Refusal(Exception):  # noqa: N818
    """What the cluster says to a request it does not carry out."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class Session:
    """The state a client keeps: threads may share it, their requests then go one by one."""

    def __init__(
        self,
        endpoints: Sequence[str],
        files: tuple[str, str, str],
        user: str,
        password: str,
        timeout: float,
    ) -> None:
        if not endpoints:
            raise ValueError(
                "no endpoint of etcd is given; name one, such as http://192.0.2.1:2379"
            )
        self._endpoints = [Endpoint(url) for url in endpoints]
        self._files = files
        self._tls: ssl.SSLContext | None = None
        self._user = user
        self._password = password
        self._token = None if user else ""  # None: to be fetched; empty: etcd wants none
        self._timeout = timeout
        self._kept: tuple[Endpoint, Stream] | None = None
        self._lock = _thread.allocate_lock()

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        with self._lock:
            if self._kept:
                self._kept[1].close()
            self._kept = None

    def call(self, path: str, message: Document, what: str, *, changes: bool = False) -> Document:
        """Send a request to the first endpoint that answers, and give what it says.

        what: for errors, as in `etcd refuses to WHAT`. changes: the request is no mere read. Raises
        EtcdError, within the time-out.
        """
        body = encode(message)

        def ask(attempt: _Attempt, token: str) -> Document:
            status, answer = self._exchange(attempt, request(attempt.endpoint, path, body, token))
            return _accepted(status, answer)

        with self._lock:
            return self._in_turn(ask, what, changes)

    def open(
        self, path: str, message: Document, what: str, cancel: int
    ) -> tuple[Endpoint, Stream, Answer, Document]:
        """Start a request whose answer goes on, on a connection of its own.

        cancel: a descriptor that ends every wait, now and later (see `Stream`). Gives the endpoint,
        the stream, which the caller closes, its answer, and the answer's first document.
        """
        body = encode(message)

        def ask(attempt: _Attempt, token: str) -> tuple[Endpoint, Stream, Answer, Document]:
            stream = self._connect(attempt)
            try:
                # The member shall end it when it loses its leader, and with it the others' changes.
                headers = ("Grpc-Metadata-hasleader: true",)
                stream.send(request(attempt.endpoint, path, body, token, headers), attempt.by)
                answer = Answer(stream, attempt.by)
                first = self._first(attempt, answer)
            except BaseException:
                stream.close()
                raise
            return attempt.endpoint, stream, answer, first

        with self._lock:
            return self._in_turn(ask, what, changes=False, cancel=cancel)

    def serves(self, endpoint: Endpoint, path: str, message: Document, cancel: int) -> None:
        """See that an endpoint answers on a new connection; a refusal will do.

        Takes no lock: nobody waits for a member that hangs but the caller. Raises OSError.
        """
        deadline = time.monotonic() + self._timeout
        attempt = _Attempt(endpoint, deadline, deadline, cancel=cancel)
        stream = self._connect(attempt)
        try:
            stream.send(request(endpoint, path, encode(message), self._token or ""), deadline)
            answer = Answer(stream, deadline)
            _see_to(answer.status, answer.body(deadline))
        finally:
            stream.close()

    def _in_turn(
        self, ask: Callable[[_Attempt, str], T], what: str, changes: bool, cancel: int = -1
    ) -> T:
        """What the first endpoint gives that works; it will be the first to be asked next time."""
        end = time.monotonic() + self._timeout
        failures: list[str] = []
        is_denied = False
        for place, endpoint in enumerate(self._endpoints):
            now = time.monotonic()
            share = (end - now) / (len(self._endpoints) - place)
            # A resolver that hung has left no time, which is no reason not to ask the others.
            share = max(share, self._timeout / len(self._endpoints) / 2)
            attempt = _Attempt(endpoint, now + share, max(end, now + share), changes, cancel)
            try:
                found = self._as_user(ask, attempt, what)
            except (EtcdError, Cancelled):
                raise
            except OSError as error:
                failures.append(_failure(endpoint, error, time.monotonic() - now))
                if attempt.is_out:
                    raise Unreachable(
                        f"cannot tell whether etcd did this: {what}; the answer was lost: "
                        f"{failures[-1]}; read what it changes before you try again",
                        unknown=True,
                    ) from error
                is_denied |= isinstance(error, NotAccepted)
            else:
                self._endpoints.insert(0, self._endpoints.pop(place))
                return found
        text = f"cannot {what}: no endpoint of etcd answers: {'; '.join(failures)}"
        if is_denied:
            raise Denied(text)
        raise Unreachable(f"{text}; see that etcd runs there and that this host reaches it")

    def _as_user(self, ask: Callable[[_Attempt, str], T], attempt: _Attempt, what: str) -> T:
        """Ask with the token there is, and if that is no longer good with a new one."""
        is_new = self._token is None
        while True:
            try:
                if self._token is None:
                    self._token = self._log_in(attempt)
                return ask(attempt, self._token)
            except _Refusal as refusal:
                if is_new or not self._user or not is_about_token(refusal.said):
                    raise refused(refusal.said, what, self._user) from None
                self._token = None
                is_new = True

    def _log_in(self, attempt: _Attempt) -> str:
        """A token; empty where etcd has authentication switched off."""
        body = encode({"name": self._user, "password": self._password})
        attempt.is_login = True
        status, answer = self._exchange(
            attempt, request(attempt.endpoint, "/v3/auth/authenticate", body, "")
        )
        attempt.is_login = False
        if status == _OK:
            return string(decode(answer), "token")
        if NO_AUTH in (said := words(answer)):
            return ""
        raise _Refusal(said)

    def _exchange(self, attempt: _Attempt, data: bytes) -> tuple[int, bytes]:
        """Send a request on the connection that is kept, or else on a new one.

        The status and body of an answer that is the cluster's verdict. Raises OSError for all else.
        """
        stream = self._reuse(attempt)
        if stream:
            try:
                return self._send(attempt, stream, data)
            except (ConnectionError, BrokenAnswer):  # it went while it lay idle
                if attempt.is_out:
                    raise
        return self._send(attempt, self._connect(attempt), data)

    def _send(self, attempt: _Attempt, stream: Stream, data: bytes) -> tuple[int, bytes]:
        is_kept = False
        try:
            stream.send(data, attempt.by)
            attempt.is_out = attempt.changes and not attempt.is_login
            deadline = attempt.end if attempt.is_out else attempt.by
            answer = Answer(stream, deadline)
            body = answer.body(deadline)
            _see_to(answer.status, body)
            attempt.is_out = False
            is_kept = answer.keeps
        except NotAccepted:  # before it read the request
            attempt.is_out = False
            raise
        finally:
            if is_kept:
                self._kept = attempt.endpoint, stream
            else:
                stream.close()
        return answer.status, body

    def _reuse(self, attempt: _Attempt) -> Stream | None:
        """The connection that was kept, if it is to this endpoint and still good."""
        if not self._kept:
            return None
        endpoint, stream = self._kept
        self._kept = None
        if endpoint is attempt.endpoint and stream.is_quiet():
            return stream
        stream.close()
        return None

    def _connect(self, attempt: _Attempt) -> Stream:
        if not attempt.endpoint.secure:
            return Stream(attempt.endpoint, attempt.by, attempt.cancel)
        from etcd_json.tls import TlsStream, context

        if not self._tls:
            self._tls = context(*self._files)
        return TlsStream(attempt.endpoint, attempt.by, self._tls, attempt.cancel)

    @staticmethod
    def _first(attempt: _Attempt, answer: Answer) -> Document:
        """The first document of an answer that goes on."""
        if answer.status == _OK:
            body = answer.line(attempt.by)
            if body is None:
                raise BrokenAnswer("it ended the answer")
        else:
            body = answer.body(attempt.by)
            _see_to(answer.status, body)
        first = _accepted(answer.status, body)
        if said := string(child(first, "result"), "cancel_reason"):
            raise _Refusal(said)
        return first


def _accepted(status: int, body: bytes) -> Document:
    """The document of an answer that is no refusal."""
    document = decode(body) if status == _OK else {}
    if "error" in document:  # of a request whose answer goes on: too late for another status
        status = number(child(document, "error"), "http_code")
        _see_to(status, body)
    if status != _OK:
        raise _Refusal(words(body))
    return document


def _see_to(status: int, body: bytes) -> None:
    """Raise OSError for an answer that another endpoint may not give."""
    said = words(body) if status != _OK else ""
    if "HTTP request to an HTTPS server" in said:
        raise NotAccepted(errno.EPROTO, "it wants TLS: write https:// in place of http://")
    if status >= _SERVER_FAILURE:
        hint = _NO_GATEWAY if any(one in said for one in _NO_GATEWAY_WORDS) else ""
        raise OSError(errno.EIO, f"it cannot serve now: {said or status}{hint}")


def _failure(endpoint: Endpoint, error: OSError, seconds: float) -> str:
    """An endpoint and why it did not do."""
    why = error.strerror or str(error)
    if isinstance(error, TimeoutError):
        why = f"no answer within {seconds:.1f} s"
    elif isinstance(error, (BrokenAnswer, ConnectionResetError)) and not endpoint.secure:
        why += " (if it wants TLS, write https://)"  # etcd then closes without a word
    return f"{endpoint.url}: {why}"
