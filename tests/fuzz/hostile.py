"""Makes hostile input out of good: values that hurt, and documents and bytes spoilt in places.

A mutation knows the document's structure: it replaces, removes, retypes or adds at any depth, and
what it adds are keys that the plugin knows. Every choice follows from the `Draw`.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from cnitool import schemas
from tests.fuzz.campaign import Draw

if TYPE_CHECKING:
    from cnitool.schemas import Schema

_DEFINITIONS: Any = schemas.load(schemas.CONFLIST)["$defs"]
KEYS: dict[str, dict[str, Any]] = {
    name: {
        key: kind
        for key, kind in each["properties"].items()
        if key not in ("type", "name", "cniVersion", "capabilities", "runtimeConfig", "args")
    }
    for name, each in _DEFINITIONS.items()
    if "properties" in each
}
"""The keys of every plugin, each with its schema."""

INJECTIONS = [
    '" accept }; flush ruleset; {', "; flush ruleset", "}; delete table inet foreign; {",
    "\"; add rule inet foreign c drop; \"", "\nflush ruleset\n", "#", "\\", "'", '"', "`id`",
    "$(touch x)", "${IFS}", "| sh", "&& true", "-A INPUT -j DROP", "--jump ACCEPT", "%n%s%x",
    "ip saddr 0.0.0.0/0", "@cni", "10.1.0.2 drop", "-m comment --comment x", "COMMIT\n*nat\n",
    "tcp dport 22 accept", "ip saddr 10.0.0.0/8 ; flush ruleset", "!", "-F", "--",
]  # fmt: skip
"""Nothing of these may reach nft, iptables or a shell as more than a word."""
NAMES = [
    "", ".", "..", "../x", "../../../../x", "a/b", "/x", "x/", "a\0b", "a b", "a\nb", "a\tb",
    "eth%d", "a:b", "-x", "--help", "x" * 15, "x" * 16, "x" * 255, "x" * 4096, "\u00e9", "\u202e",
    "\ud800", "\x7f", "lo", "all", "default", "eth0", "EXTRA", "up0", "br0", "@", "*", "?", "~",
    "con", "a=b", "IP=1;x", "null", "true", "0", "host-local", "bridge", "fake", "x.lock", "lock",
    "last_reserved_ip.0", "net.ipv4.ip_forward", "net/../kernel/hostname", "net.ipv4..forwarding",
    "kernel.hostname", "net.core.somaxconn", "net/ipv4/conf/all/forwarding", "\r\n", "\x1b[2J",
]  # fmt: skip
ADDRESSES = [
    "0.0.0.0/0", "::/0", "10.0.0.0/8", "10.1.0.0/31", "10.1.0.0/32", "10.1.0.1/16", "10.1.0.255",
    "2001:db8::/32", "2001:db8::/127", "::1/128", "127.0.0.1", "127.0.0.1/8", "224.0.0.1",
    "255.255.255.255", "0.0.0.0", "::", "fe80::1%eth0", "fe80::1/64", "::ffff:1.2.3.4/100",
    "10.1/16", "010.1.0.1", "1.2.3.4.5", "10.1.0.1/33", "10.1.0.1/-1", "10.1.0.1/0x8", "1.2.3.4/",
    "/8", "10.1.0.1/255.255.0.0", "ff02::1", "169.254.0.1", "10.1.0.5/24", "2001:db8::5/64",
    "\u0661\u0660.1.0.1", "10.1.0.1/\u0661", "10.1.0.1 ", "1", "4294967296", "00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:01", "01:00:5e:00:00:01", "02-00-00-00-00-02", "02:0:0:0",
]  # fmt: skip
NUMBERS: list[Any] = [
    0, 1, -1, 2, 67, 68, 1279, 1280, 1500, 4094, 4095, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1,
    2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**300, -(2**63), -(10**300), 1.0, 0.1, -0.0, 1e300,
]  # fmt: skip
OTHERS: list[Any] = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [{}],
    [None],
    {"": None},
    [[[[[[[]]]]]]],
    {"a": {"b": {}}},
]


def word(draw: Draw) -> str:
    """A text that hurts, or parts of several."""
    if draw.random() < 0.06:
        return "".join(chr(draw.randrange(0x11000)) for _ in range(draw.randrange(1, 40)))
    if draw.random() < 0.02:
        return draw.choice("x1. /\u20ac") * draw.choice((1000, 70_000, 1_000_000))
    one = draw.choice(draw.choice((INJECTIONS, NAMES, ADDRESSES)))
    return one + draw.choice(INJECTIONS) if draw.random() < 0.1 else one


def value(draw: Draw, depth: int = 0) -> Any:
    """Any JSON value."""
    chance = draw.random()
    if chance < 0.45:
        return word(draw)
    if chance < 0.65:
        return draw.choice(NUMBERS)
    if chance < 0.85 or depth > 2:
        return copy.deepcopy(draw.choice(OTHERS))
    if chance < 0.93:
        return [value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if chance < 0.94:
        return _copies(draw.choice(OTHERS + NUMBERS), 10_000)
    return {word(draw): value(draw, depth + 1) for _ in range(draw.randrange(4))}


def _copies(of: Any, count: int) -> list[Any]:
    """As many, which share nothing.

    A change of what stands in a document ten thousand times would make it that much longer, and a
    second one fill the memory.
    """
    return [copy.deepcopy(of) for _ in range(count)]


def plausible(draw: Draw, kind: Schema) -> Any:
    """A value of the kind that a key is to have, now and then any."""
    if draw.random() < 0.2:
        return value(draw)
    return _made(draw, kind)


def _made(draw: Draw, kind: Any) -> Any:
    if "enum" in kind:
        return draw.choice(kind["enum"])
    if kind.get("type") == "array":
        return [plausible(draw, kind["items"]) for _ in range(draw.choice((0, 1, 1, 2, 3)))]
    if kind.get("type") == "object":
        keys = kind.get("properties", {})
        wanted = draw.sample(sorted(keys), min(len(keys), draw.randrange(4)))
        made = {key: plausible(draw, keys[key]) for key in wanted}
        names = kind.get("additionalProperties")
        return {**made, word(draw): plausible(draw, names)} if isinstance(names, dict) else made
    found = kind.get("type") or str(kind.get("$ref", "")).removeprefix("#/$defs/")
    return _PLAUSIBLE.get(found, value)(draw)


def _address(draw: Draw) -> str:
    return draw.choice([one.partition("/")[0] for one in ADDRESSES])


_PLAUSIBLE: dict[str, Any] = {
    "string": word,
    "integer": lambda draw: draw.choice(NUMBERS),
    "boolean": lambda draw: draw.random() < 0.5,
    "address": _address,
    "subnet": lambda draw: draw.choice(ADDRESSES),
    "interface": lambda draw: draw.choice(ADDRESSES),
    "mac": lambda draw: draw.choice(ADDRESSES[-6:]),
}

# ---- documents ---------------------------------------------------------------------------------


def spoilt(draw: Draw, good: dict[str, Any], keep: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A copy with one to four places changed. keep: keys, at any depth, that are not touched."""
    document = copy.deepcopy(good)
    for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 4))):
        places = [one for one in _places(document) if one[1] not in keep]
        holder, key = draw.choice(places) if places else (document, "x")
        _change(draw, document, holder, key)
    return document


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every (object or list, key or index)."""
    found: list[tuple[Any, Any]] = []
    if isinstance(node, (dict, list)):
        for key in list(node if isinstance(node, dict) else range(min(len(node), 50))):
            found.append((node, key))
            found += _places(node[key])
    return found


def _change(draw: Draw, document: dict[str, Any], holder: Any, key: Any) -> None:
    chance = draw.random()
    if isinstance(key, int) and key >= len(holder):
        return
    if chance < 0.35 or (key not in holder and isinstance(holder, dict)):
        holder[key] = value(draw)
    elif chance < 0.42:
        del holder[key]
    elif chance < 0.50:
        holder[key] = draw.choice(([holder[key]], {"x": holder[key]}, str(holder[key]), None))
    elif chance < 0.58:
        holder[key] = _nudged(draw, holder[key])
    elif chance < 0.62 and isinstance(key, str):
        holder[key.swapcase()] = holder.pop(key)
    elif chance < 0.66 and isinstance(holder, list):
        for more in _copies(holder, draw.choice((1, 3, 200)) if _is_small(holder) else 1):
            holder.extend(more)
    else:
        _add(draw, document)


def _is_small(holder: list[Any]) -> bool:
    """Whether it may come two hundred times."""
    return len(repr(holder)) < 1000


def _nudged(draw: Draw, old: Any) -> Any:
    """Nearly what it was."""
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return draw.choice((old + 1, old - 1, -old, old * 65536, float(old), str(old)))
    if isinstance(old, str):
        at = draw.randrange(len(old) + 1)
        return draw.choice(
            (old + word(draw), old[:at] + draw.choice(INJECTIONS + NAMES[:8]) + old[at:], old[:at],
             old.upper(), old + " ")
        )  # fmt: skip
    return value(draw)


def _add(draw: Draw, document: dict[str, Any]) -> None:
    """A key that the plugin, its IPAM plugin or the specification knows."""
    kind = document.get("type")
    keys = KEYS.get(kind, {}) if isinstance(kind, str) else {}
    target = document
    ipam = document.get("ipam")
    if isinstance(ipam, dict) and draw.random() < 0.4:
        target = ipam
        named = ipam.get("type")
        keys = KEYS.get(named, {}) if isinstance(named, str) else {}
    keys = {**keys, "dns": KEYS["bridge"]["dns"], "mtu": KEYS["bridge"]["mtu"]}
    keys.pop("ipam", None)
    key = draw.choice(sorted(keys))
    if key in PATHS:
        return
    target[key] = plausible(draw, keys[key])


PATHS = frozenset({"dataDir", "log", "daemonSocketPath", "netns", "sandbox"})
"""Keys that name files on purpose: a value is right wherever it leads, so it stays."""

# ---- bytes -------------------------------------------------------------------------------------


def encoded(draw: Draw, document: Any) -> bytes:
    """The document as JSON, mostly whole."""
    data = json.dumps(document).encode()
    return data if draw.random() < 0.9 else broken(draw, data)


def broken(draw: Draw, data: bytes) -> bytes:
    """JSON text that may be none any more."""
    at = _beside_paths(data, draw.randrange(len(data) + 1))
    deep = draw.choice((50, 900, 5000, 200_000))
    return draw.choice(
        (
            lambda: data[:at],
            lambda: data[:at] + draw.randbytes(draw.randrange(1, 9)) + data[at:],
            lambda: data + draw.choice((b"x", b"{}", b"\0", b"\n\n", b"]", b"\xff", data)),
            lambda: draw.choice((b"\xef\xbb\xbf", b"\xff\xfe", b" \n\t", b"\0", b"//\n")) + data,
            lambda: data.replace(b"true", draw.choice((b"NaN", b"Infinity", b"-0", b"1e9999"))),
            lambda: data.replace(b":", b":" + b"9" * draw.choice((20, 5000)) + b",", 1),
            lambda: data[:-1] + b',"x":' + b"[" * deep + b"]" * deep + b"}",
            lambda: b"[" * deep,
            lambda: data[:-1] + b"," + data[1:],  # every key twice
            lambda: data[:-1] + b',"name":"\\ud800","x":"\\u0000"}',
            lambda: data[:-1] + b',"x":"' + b"y" * 1_000_000 + b'"}',
            lambda: data.decode(errors="replace").encode("utf-16"),
            lambda: draw.randbytes(draw.randrange(60)),
            lambda: b"",
        )
    )()


def _beside_paths(data: bytes, at: int) -> int:
    """`at`, or where the path begins that it lies in: a config may name any, and would get it."""
    start = data.rfind(b'"/', 0, at)
    return start if start >= 0 and data.find(b'"', start + 1) >= at else at


def shuffled(draw: Draw, data: bytes) -> bytes:
    """Bytes of a binary format with some changed, cut or put in."""
    buffer = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        at = draw.randrange(len(buffer) + 1)
        chance = draw.random()
        if chance < 0.5 and at < len(buffer):
            buffer[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        elif chance < 0.7:
            del buffer[at : at + draw.choice((1, 2, 4, 100))]
        elif chance < 0.9:
            buffer[at:at] = draw.randbytes(draw.choice((1, 2, 4, 60)))
        else:
            buffer[at:at] = buffer[draw.randrange(len(buffer) + 1) :][:200]
    return bytes(buffer)
