"""What goes to etcd and comes back as values: keys, events, comparisons, operations."""

from __future__ import annotations

from cni.record import record
from etcd_json.document import base64, child, children, number, span, string, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from etcd_json.document import Document


@record
class KeyValue:
    """A key with what etcd knows of it. lease: 0 where it is tied to none."""

    key: str
    value: str
    create_revision: int
    mod_revision: int
    lease: int = 0


@record
class Event:
    """One change. kind: "put" or "delete", whose value is empty."""

    kind: str
    key: str
    value: str
    mod_revision: int


@record
class Outcome:
    """How a transaction went.

    succeeded: whether every comparison held, so that `then` was done and not `else_`. revision:
    the store's after it. found: for each `get` of the branch that was done, in order, the keys.
    """

    succeeded: bool
    revision: int
    found: list[list[KeyValue]]


@record
class Compare:
    """A condition of a transaction on a key, made by the functions below. message: etcd's."""

    key: str
    message: Document


@record
class Op:
    """An operation of a transaction, made by the functions below. changes: it is no mere read."""

    message: Document
    changes: bool = True


def absent(key: str) -> Compare:
    """The key does not exist."""
    return _equal(key, "CREATE", "create_revision", "0")


def unchanged(key: str, mod_revision: int) -> Compare:
    """The key is as it was when read: nobody wrote, deleted or made it anew."""
    return _equal(key, "MOD", "mod_revision", str(mod_revision))


def value_is(key: str, value: str) -> Compare:
    """The key exists with this value."""
    return _equal(key, "VALUE", "value", base64(value))


def _equal(key: str, target: str, field: str, value: str) -> Compare:
    return Compare(key, {"key": base64(key), "target": target, "result": "EQUAL", field: value})


def put(key: str, value: str, lease: int = 0) -> Op:
    """Write a key, tied to a lease if one is given."""
    return Op({"request_put": put_request(key, value, lease)})


def delete(key: str) -> Op:
    """Remove a key if it is there."""
    return Op({"request_delete_range": {"key": base64(key)}})


def get(key: str) -> Op:
    """Read a key."""
    return Op({"request_range": {"key": base64(key)}}, changes=False)


def get_prefix(prefix: str) -> Op:
    """Read all keys that start with `prefix`, in one answer: for a handful."""
    return Op({"request_range": span(prefix)}, changes=False)


def put_request(key: str, value: str, lease: int) -> Document:
    """The message PutRequest."""
    request: Document = {"key": base64(key), "value": base64(value)}
    if lease:
        request["lease"] = str(lease)
    return request


def key_values(range_response: Document) -> list[KeyValue]:
    """The keys of a RangeResponse."""
    return [
        KeyValue(
            text(one, "key"),
            text(one, "value"),
            number(one, "create_revision"),
            number(one, "mod_revision"),
            number(one, "lease"),
        )
        for one in children(range_response, "kvs")
    ]


def events(watch_response: Document) -> list[Event]:
    """The events of a WatchResponse; its enum leaves PUT, which is 0, out."""
    found = []
    for one in children(watch_response, "events"):
        pair = child(one, "kv")
        kind = "delete" if string(one, "type") == "DELETE" else "put"
        found.append(
            Event(kind, text(pair, "key"), text(pair, "value"), number(pair, "mod_revision"))
        )
    return found
