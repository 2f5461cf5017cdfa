"""What goes to etcd and comes back as values: keys, events, comparisons, operations."""

from __future__ import annotations

from etcd_json.document import base64, child, children, number, span, string, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from etcd_json.document import Document, JsonValue


class _Value:
    """Equality and a repr from the slots, without what `dataclasses` or `typing` cost to import."""

    __slots__: tuple[str, ...] = ()

    def _fields(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Value) or type(other) is not type(self):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"


class KeyValue(_Value):
    """A key with what etcd knows of it. lease: 0 where it is tied to none."""

    __slots__ = ("create_revision", "key", "lease", "mod_revision", "value")

    def __init__(
        self, key: str, value: str, create_revision: int, mod_revision: int, lease: int = 0
    ) -> None:
        self.key = key
        self.value = value
        self.create_revision = create_revision
        self.mod_revision = mod_revision
        self.lease = lease


class Event(_Value):
    """One change. kind: "put" or "delete", whose value is empty."""

    __slots__ = ("key", "kind", "mod_revision", "value")

    def __init__(self, kind: str, key: str, value: str, mod_revision: int) -> None:
        self.kind = kind
        self.key = key
        self.value = value
        self.mod_revision = mod_revision


class Outcome(_Value):
    """How a transaction went.

    succeeded: whether every comparison held, so that `then` was done and not `else_`. revision:
    the store's after it. found: for each `get` of the branch that was done, in order, the keys.
    """

    __slots__ = ("found", "revision", "succeeded")

    def __init__(self, succeeded: bool, revision: int, found: list[list[KeyValue]]) -> None:
        self.succeeded = succeeded
        self.revision = revision
        self.found = found


class Compare(_Value):
    """A condition of a transaction, made by the functions below."""

    __slots__ = ("key", "message")

    def __init__(self, key: str, message: Document) -> None:
        self.key = key
        self.message = message


class Op(_Value):
    """An operation of a transaction, made by the functions below. changes: it is no mere read."""

    __slots__ = ("changes", "message")

    def __init__(self, message: Document, changes: bool = True) -> None:
        self.message = message
        self.changes = changes


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


def put_request(key: str, value: str, lease: int) -> dict[str, JsonValue]:
    """The message PutRequest."""
    request: dict[str, JsonValue] = {"key": base64(key), "value": base64(value)}
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
