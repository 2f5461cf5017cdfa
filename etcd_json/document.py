"""Reading the gateway's JSON: what protobuf leaves out when it is zero, and int64 as a string.

https://protobuf.dev/programming-guides/json/ ("ProtoJSON"): a 64-bit integer is a string, bytes
are base64, a field at its default is absent. A document of another shape is no answer of etcd.
"""

from __future__ import annotations

import binascii

from cni.jsontext import dumps, loads
from etcd_json.errors import EtcdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

    Document = dict[str, JsonValue]

_SHOWN = 200


def decode(body: bytes) -> Document:
    """The object of one JSON text. Raises EtcdError."""
    try:
        found = loads(body.decode())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise strange(body.decode(errors="replace"))
    return found


def encode(message: Document) -> bytes:
    """Compact JSON."""
    return dumps(message).encode()


def number(document: Document, key: str) -> int:
    """An integer; 0 where it is absent."""
    value = document.get(key, 0)
    if isinstance(value, (int, str)):
        try:
            return int(value)
        except ValueError:
            pass
    raise strange(f"{key}: {value}")


def string(document: Document, key: str) -> str:
    """Text; empty where it is absent."""
    value = document.get(key, "")
    if not isinstance(value, str):
        raise strange(f"{key}: {value}")
    return value


def child(document: Document, key: str) -> Document:
    """An object; an empty one where it is absent."""
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise strange(f"{key}: {value}")
    return value


def children(document: Document, key: str) -> list[Document]:
    """A list of objects; empty where it is absent."""
    values = document.get(key, [])
    if not isinstance(values, list):
        raise strange(f"{key}: {values}")
    found: list[Document] = []
    for value in values:
        if not isinstance(value, dict):
            raise strange(f"{key}: {value}")
        found.append(value)
    return found


def revision(document: Document) -> int:
    """The store's revision when it answered."""
    return number(child(document, "header"), "revision")


def text(document: Document, key: str) -> str:
    """What the base64 of a key or value stands for.

    Bytes that are no UTF-8 come as half surrogates (PEP 383) and go back as the same bytes.
    """
    try:
        return binascii.a2b_base64(string(document, key)).decode("utf-8", "surrogateescape")
    except ValueError:
        raise strange(f"{key}: {document[key]}") from None


def base64(text: str | bytes) -> str:
    """What a key or value is in JSON."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    return binascii.b2a_base64(text, newline=False).decode()


def span(prefix: str) -> Document:
    """The members `key` and `range_end` for every key that starts with `prefix`; empty: all keys.

    Source: rpc.proto, RangeRequest.range_end.
    """
    start = prefix.encode("utf-8", "surrogateescape")
    end = start.rstrip(b"\xff")
    end = end[:-1] + bytes((end[-1] + 1,)) if end else b"\0"
    return {"key": base64(start or b"\0"), "range_end": base64(end)}


def strange(found: str) -> EtcdError:
    """The error for an answer that is none of etcd's, and what it holds."""
    shown = found if len(found) <= _SHOWN else found[:_SHOWN] + "…"
    return EtcdError(
        f"this is no answer of etcd's JSON gateway: {shown!r}; see that the endpoint is a client "
        "URL of etcd 3.4 or later"
    )
