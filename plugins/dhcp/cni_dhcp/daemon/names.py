"""Domain names from the wire (RFC 1035, section 3.1; compressed: section 4.1.4).

They come from whoever answers on the network and end in a container's resolv.conf, so only what is
a host name gets through.
"""

from __future__ import annotations

_PERMITTED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_LONGEST = 253
_POINTER = 0xC0
_JUMPS = 32


def tidy(value: bytes) -> str:
    """A name in text; empty unless it is one of letters, digits, hyphens, underscores and dots."""
    name = value.rstrip(b".")
    good = 0 < len(name) <= _LONGEST and set(name) <= _PERMITTED and not name.startswith(b".")
    return name.decode() if good else ""


def read_names(data: bytes) -> tuple[str, ...]:
    """One name after the other; those before the first that is malformed."""
    found: list[str] = []
    at = 0
    try:
        while at < len(data):
            labels, at = _read_name(data, at)
            name = tidy(b".".join(labels))
            if name:
                found.append(name)
    except (IndexError, ValueError):
        pass
    return tuple(found)


def _read_name(data: bytes, at: int) -> tuple[list[bytes], int]:
    """The labels, and where the next name begins. Raises IndexError or ValueError."""
    labels: list[bytes] = []
    after = 0
    jumps = 0
    while size := data[at]:
        if size & _POINTER == _POINTER:
            jumps += 1
            if jumps > _JUMPS:
                raise ValueError("a name that points in circles")
            after = after or at + 2
            at = (size & ~_POINTER) << 8 | data[at + 1]
            continue
        label = data[at + 1 : at + 1 + size]
        if len(label) < size or len(labels) > _LONGEST:
            raise ValueError("a label that ends after the data")
        labels.append(label)
        at += 1 + size
    return labels, after or at + 1
