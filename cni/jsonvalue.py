"""Typed access to untrusted JSON: every wrong key is named, with its value and what was expected.

Keys match as Go's `encoding/json` matches them, without regard to case, since containerd sends
`HostPort` where podman sends `hostPort`; of several spellings of a key the last one counts. `null`
means absent. Numbers may exceed 32 bits; each reader states its own bounds. Strings are such that
the kernel, a file system and UTF-8 can take them: no NUL, no half of a surrogate pair.
"""

from __future__ import annotations

from cni import jsontext
from cni.errors import DECODE_FAILURE, INVALID_CONFIG, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias, TypeVar

    from cni.ip import Address, Interface, Network

    JsonValue: TypeAlias = (
        "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
    )
    D = TypeVar("D", int, None)
    V = TypeVar("V")

MAX_DOCUMENT = 16 * 1024 * 1024
"""Bytes. A GC of 100,000 attachments is 10 MB; anything larger is a mistake or an attack."""
_SHOWN = 60


def shown(value: JsonValue, place: str = "") -> str:
    """A JSON value as an error message shows it: one line, at most 60 characters.

    place: where in the document it stands. Errors end in logs that more people read than configs:
    what is a password, or has one in it, is not shown.
    """
    try:
        text = jsontext.dumps(value)
    except RecursionError:
        text = "(a deeply nested value)"
    if "password" in text.lower() or place.lower().endswith("password"):
        return "(what is not shown, for it has a password in it)"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def parse_json(data: bytes, what: str) -> JsonValue:
    """Decode one JSON document (UTF-8). `what` names it in errors, e.g. `the config on stdin`.

    Raises CniError(DECODE_FAILURE).
    """
    if len(data) > MAX_DOCUMENT:
        raise CniError(
            DECODE_FAILURE, f"{what} has more than {MAX_DOCUMENT} bytes, expected at most that many"
        )
    if not data.strip():
        raise CniError(DECODE_FAILURE, f"{what} is empty, expected a JSON object")
    try:
        value: JsonValue = jsontext.loads(data.decode())
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8: {error.reason} at byte {error.start}"
    except RecursionError:
        problem = "is nested too deeply"
    except ValueError as error:  # JSONDecodeError, and integers beyond 4,300 digits
        problem = f"is not JSON: {error}"
    else:
        return value
    raise CniError(DECODE_FAILURE, f"{what} {problem}")


def parse_object(data: bytes, what: str) -> JsonObject:
    """Decode a document that must be an object. Raises CniError(DECODE_FAILURE)."""
    value = parse_json(data, what)
    if not isinstance(value, dict):
        raise CniError(DECODE_FAILURE, f"{what}: found {shown(value)}, expected a JSON object")
    return JsonObject(value)


class JsonObject:
    """A JSON object and where it stands in its document.

    raw: the object as decoded, never to be changed. where: its path (`ipam.ranges[0]`), empty at
    the top. Every getter raises CniError(INVALID_CONFIG) for a value of the wrong type or bounds.
    """

    __slots__ = ("_folded", "raw", "where")

    def __init__(self, raw: dict[str, JsonValue], where: str = "") -> None:
        self.raw = raw
        self.where = where
        self._folded = _folded(raw) if raw else raw

    def __repr__(self) -> str:
        return f"JsonObject({shown(self.raw)}, {self.where!r})"

    def get(self, key: str) -> JsonValue:
        """The value as decoded; None where it is absent or null."""
        return self._folded.get(key.casefold())

    def has(self, key: str) -> bool:
        """Whether the key is there with a value other than null."""
        return self.get(key) is not None

    def place(self, key: str) -> str:
        """The key's path in the document."""
        return f"{self.where}.{key}" if self.where else key

    def wrong(self, key: str, expected: str, code: int = INVALID_CONFIG) -> CniError:
        """The error for `key`: its path, what was found, what was expected."""
        return wrong_value(self.place(key), self.get(key), expected, code)

    def string(self, key: str, default: str = "") -> str:
        value = self._folded.get(key.casefold())
        if value is None:
            return default
        # Most strings are such, and no call has as many of anything else.
        if type(value) is str and value.isascii() and "\0" not in value:
            return value
        return _text(self.place(key), value)

    def required_string(self, key: str) -> str:
        """A string that must be there and not be empty."""
        value = self.string(key)
        if not value:
            raise self.wrong(key, "a non-empty string")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        """One of a few words; an empty string means the default, as in the reference."""
        value = self.get(key)
        if value is None or value == "":
            value = default
        if not isinstance(value, str) or value not in choices:
            raise self.wrong(key, "one of " + ", ".join(f'"{word}"' for word in choices))
        return value

    def integer(self, key: str, default: D, low: int, high: int) -> int | D:
        """A whole number from `low` to `high`; `1.0` and `true` are none."""
        value = self._folded.get(key.casefold())
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"an integer from {low} to {high}")
        return value

    def boolean(self, key: str, default: bool = False) -> bool:
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def flag(self, key: str) -> bool:
        """A boolean, which Go's libcni also takes as the string "true" or "false" in any case."""
        value = self.get(key)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return self.boolean(key)

    def object(self, key: str) -> JsonObject:
        """The object at `key`; an empty one where it is absent."""
        value = self._folded.get(key.casefold())
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return JsonObject(value, self.place(key))

    def items(self, key: str) -> list[JsonValue]:
        """The list at `key`; an empty one where it is absent."""
        value = self.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        return value

    def objects(self, key: str) -> list[JsonObject]:
        """A list of objects, each knowing its place (`ranges[2]`)."""
        return objects_of(self.items(key), self.place(key))

    def object_lists(self, key: str, expected: str) -> list[list[JsonObject]]:
        """A list of lists of objects, none of which is empty. expected: what each has to be."""
        found = []
        for index, value in enumerate(self.items(key)):
            place = f"{self.place(key)}[{index}]"
            if not isinstance(value, list) or not value:
                raise wrong_value(place, value, expected)
            found.append(objects_of(value, place))
        return found

    def texts(self) -> dict[str, str]:
        """All there is, where keys are names that differ by case and each has a string."""
        return {
            key: _text(self.place(key[:_SHOWN]), value)
            for key, value in self.raw.items()
            if value is not None
        }

    def replaced(self, key: str, value: dict[str, JsonValue]) -> JsonObject:
        """The same object with this one in place of what is at `key`, however it is spelt."""
        raw = {name: self.raw[name] for name in self.raw if name.casefold() != key.casefold()}
        return JsonObject({**raw, key: value}, self.where)

    def strings(self, key: str) -> list[str]:
        """A list of strings."""
        place = self.place(key)
        return [_text(f"{place}[{index}]", value) for index, value in enumerate(self.items(key))]

    # `cni.ip` is imported by those who parse addresses: `ipaddress` costs 3 ms, and a STATUS or a
    # DEL with nothing to delete may read none.

    def address(self, key: str) -> Address | None:
        from cni.ip import parse_address

        return self._parsed(key, parse_address, "an IP address such as 10.1.2.3 or 2001:db8::3")

    def interface(self, key: str) -> Interface | None:
        """An address with its prefix length."""
        from cni.ip import parse_interface

        return self._parsed(key, parse_interface, "an IP address with prefix length: 10.1.2.3/24")

    def network(self, key: str) -> Network | None:
        from cni.ip import parse_network

        return self._parsed(key, parse_network, "a subnet such as 10.1.0.0/16 or 2001:db8::/64")

    def mac(self, key: str) -> str:
        """A unicast hardware address in lower case with colons; empty where it is absent."""
        from cni.ip import parse_mac

        expected = "a unicast hardware address such as 02:00:5e:10:00:01"
        return self._parsed(key, parse_mac, expected) or ""

    def _parsed(self, key: str, parse: Callable[[str], V], expected: str) -> V | None:
        """None where the key is absent or empty, as the reference's zero values."""
        value = self.get(key)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                return parse(value)
            except ValueError:
                pass
        raise self.wrong(key, expected)


def _folded(raw: dict[str, JsonValue]) -> dict[str, JsonValue]:
    # Without a loop of our own: there is one object or more for each thing that a call tells of.
    if None in raw.values():
        raw = {key: value for key, value in raw.items() if value is not None}
    return dict(zip(map(str.casefold, raw), raw.values(), strict=True))


def _text(place: str, value: JsonValue) -> str:
    if not isinstance(value, str):
        raise wrong_value(place, value, "a string")
    if "\0" in value or not (value.isascii() or _encodable(value)):
        raise wrong_value(place, value, "text without NUL and without half a surrogate pair")
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def objects_of(values: list[JsonValue], where: str) -> list[JsonObject]:
    """Each value as an object with its place. Raises CniError(INVALID_CONFIG)."""
    found = []
    for index, value in enumerate(values):
        place = f"{where}[{index}]"
        if not isinstance(value, dict):
            raise wrong_value(place, value, "an object")
        found.append(JsonObject(value, place))
    return found


def wrong_value(
    place: str, value: JsonValue, expected: str, code: int = INVALID_CONFIG
) -> CniError:
    """The error for a value at `place`. A key that is None is missing; in a list it is there."""
    missing = value is None and not place.endswith("]")
    found = "it is missing" if missing else f"found {shown(value, place)}"
    return CniError(code, f'key "{place}": {found}, expected {expected}')
