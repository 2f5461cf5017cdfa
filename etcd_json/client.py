"""The client: keys, transactions, leases, watches. What is said to whom is `session`'s."""

from __future__ import annotations

from etcd_json.document import base64, child, children, number, revision, span, strange
from etcd_json.errors import Compacted, NoLease
from etcd_json.session import Session
from etcd_json.values import Outcome, key_values, put_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from etcd_json.document import Document
    from etcd_json.values import Compare, KeyValue, Op
    from etcd_json.watch import Watch

    KeyValues = list[KeyValue]  # within the class `list` is the method

PAGE = 1000
"""Keys per answer of a list."""
_LISTS = 3  # attempts, each of which a compaction may spoil


class Etcd:
    """`with Etcd(["http://192.0.2.1:2379"]) as etcd:`; keys and values are text.

    endpoints: URLs (see `Endpoint`) of members of one cluster; the one that works is remembered.
    ca: PEM file of the authorities that https endpoints must be signed by; empty: the system's.
    cert, key: PEM files of a client certificate, which must have no common name (CN): the gateway
    refuses those. user, password: a token is fetched and renewed as needed. timeout: seconds, for
    a call at all endpoints together.

    Every method raises `EtcdError`: `Unreachable`, whose `unknown` says that a change may have been
    made, `Denied`, or as noted. ValueError is for arguments that could never be right. Threads may
    share a client; the calls go one after the other. A child process must make its own.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        ca: str = "",
        cert: str = "",
        key: str = "",
        user: str = "",
        password: str = "",
        timeout: float = 5.0,
    ) -> None:
        self._session = Session(endpoints, (ca, cert, key), user, password, timeout)

    def __enter__(self) -> Etcd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Watches are closed on their own."""
        self._session.close()

    def get(self, key: str) -> KeyValue | None:
        """The key as it is now; None if there is none."""
        answer = self._session.call("/v3/kv/range", {"key": base64(key)}, f"read {key}")
        return next(iter(key_values(answer)), None)

    def list(self, prefix: str) -> tuple[KeyValues, int]:
        """All keys that start with `prefix`, in order, and the revision at which that was so.

        Watch from that revision + 1 on to miss nothing. Raises Compacted when the history is
        compacted faster than it can be read.
        """
        for _ in range(_LISTS - 1):
            try:
                return self._list(prefix)
            except Compacted:
                pass
        return self._list(prefix)

    def _list(self, prefix: str) -> tuple[KeyValues, int]:
        found: list[KeyValue] = []
        request: Document = span(prefix) | {"limit": str(PAGE)}
        at = 0
        while True:
            answer = self._session.call("/v3/kv/range", request, f"list {prefix}*")
            at = at or revision(answer)
            page = key_values(answer)
            found += page
            if not answer.get("more") or not page:
                return found, at
            request["revision"] = str(at)
            request["key"] = base64(page[-1].key + "\0")

    def put(self, key: str, value: str, lease: int = 0) -> int:
        """Write a key, tied to a lease if one is given; the revision. Raises NoLease."""
        return revision(self._change("/v3/kv/put", put_request(key, value, lease), f"write {key}"))

    def delete(self, key: str) -> bool:
        """Remove a key; whether it was there."""
        answer = self._change("/v3/kv/deleterange", {"key": base64(key)}, f"delete {key}")
        return number(answer, "deleted") > 0

    def delete_prefix(self, prefix: str) -> int:
        """Remove all keys that start with `prefix`; how many there were. It must not be empty."""
        if not prefix:
            raise ValueError("an empty prefix would delete every key in etcd")
        answer = self._change("/v3/kv/deleterange", span(prefix), f"delete {prefix}*")
        return number(answer, "deleted")

    def transact(
        self, if_: Sequence[Compare], then: Sequence[Op], else_: Sequence[Op] = ()
    ) -> Outcome:
        """Do all of `then` if every comparison holds, all of `else_` if not, in one step.

        etcd takes 128 operations at most (--max-txn-ops), and no key twice among the changes of a
        branch. Raises NoLease.
        """
        message: Document = {
            "compare": [one.message for one in if_],
            "success": [one.message for one in then],
            "failure": [one.message for one in else_],
        }
        what = "read several keys"
        if if_:
            what = f"carry out the transaction on {', '.join(one.key for one in if_)}"
        changes = any(one.changes for one in (*then, *else_))
        answer = self._session.call("/v3/kv/txn", message, what, changes=changes)
        found = [
            key_values(child(one, "response_range"))
            for one in children(answer, "responses")
            if "response_range" in one
        ]
        succeeded = answer.get("succeeded") is True
        reads = sum(not one.changes for one in (then if succeeded else else_))
        if len(found) != reads:
            raise strange(f"{len(found)} answers to {reads} questions")
        return Outcome(succeeded, revision(answer), found)

    def grant(self, seconds: int) -> int:
        """A new lease that dies after so many seconds without `keep_alive`; its number."""
        message: Document = {"TTL": str(seconds)}
        # No change in the sense of `unknown`: one granted twice only expires.
        return number(self._session.call("/v3/lease/grant", message, "grant a lease"), "ID")

    def keep_alive(self, lease: int) -> int:
        """Renew a lease; the seconds it has now, 0 if it is dead."""
        message: Document = {"ID": str(lease)}
        answer = self._session.call("/v3/lease/keepalive", message, f"renew lease {lease:x}")
        return max(0, number(child(answer, "result"), "TTL"))

    def revoke(self, lease: int) -> None:
        """End a lease now and delete the keys tied to it; no error if it is dead."""
        try:
            self._change("/v3/lease/revoke", {"ID": str(lease)}, f"revoke lease {lease:x}")
        except NoLease:
            pass

    def watch(self, prefix: str, revision: int, idle: float = 60.0) -> Watch:
        """The changes of keys that start with `prefix` from this revision on, see `Watch`.

        idle: seconds of silence after which the member is asked whether it still serves.
        """
        from etcd_json.watch import Watch

        return Watch(self._session, prefix, revision, idle)

    def _change(self, path: str, message: Document, what: str) -> Document:
        return self._session.call(path, message, what, changes=True)
