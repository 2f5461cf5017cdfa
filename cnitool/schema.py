"""What a configuration's keys may be, as data, and what is wrong with a document by it.

A kind is a word (`STRING`, `ADDRESS`, ...), a tuple of the strings that are allowed, a list of one
kind for a list, or a dictionary of kinds for an object. `"*"` in a dictionary stands for any other
key; without it a key that is not there is unknown.
"""

from __future__ import annotations

import difflib

from cni.ip import parse_address, parse_interface, parse_mac, parse_network
from cni.jsonvalue import shown
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from cni.jsonvalue import JsonValue

    Kind: TypeAlias = "str | tuple[str, ...] | list[Kind] | dict[str, Kind]"
    Keys: TypeAlias = dict[str, Kind]

ANY = "anything"
STRING = "a string"
INTEGER = "an integer"
BOOLEAN = "true or false"
FLAG = 'true or false, or one of these as a string ("true")'
OBJECT = "an object"
ADDRESS = "an IP address such as 10.1.2.3 or 2001:db8::3"
SUBNET = "a subnet such as 10.1.0.0/16 or 2001:db8::/64"
INTERFACE = "an IP address with prefix length such as 10.1.2.3/24"
MAC = "a unicast hardware address such as 02:00:5e:10:00:01"

_NEAR = 0.75
"""How alike two keys must be, from 0 to 1, for one to be taken for a slip in the other."""


@record
class Finding:
    """Something wrong with a configuration. place: the key's path, empty for the whole.

    fatal: whether it is an error; otherwise it is worth a look.
    """

    place: str
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        level = "error" if self.fatal else "warning"
        return (
            f"{level}: {self.place}: {self.message}" if self.place else f"{level}: {self.message}"
        )


def check(value: JsonValue, kind: Kind, place: str) -> Iterator[Finding]:
    """Everything about `value` that is not of that kind. null is an absent value, and right."""
    if value is None:
        return
    if isinstance(kind, dict):
        yield from _check_object(value, kind, place)
    elif isinstance(kind, list):
        if not isinstance(value, list):
            yield Finding(place, f"found {shown(value, place)}, expected a list")
            return
        for index, item in enumerate(value):
            yield from check(item, kind[0], f"{place}[{index}]")
    elif isinstance(kind, tuple):
        if value not in kind:
            words = " or ".join(f'"{word}"' for word in kind if word)
            near = _near(value, kind) if isinstance(value, str) else ""
            hint = f'; did you mean "{near}"?' if near else ""
            yield Finding(place, f"found {shown(value, place)}, expected {words}{hint}")
    elif not _TESTS[kind](value):
        yield Finding(place, f"found {shown(value, place)}, expected {kind}")


def _check_object(value: JsonValue, kinds: Keys, place: str) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield Finding(place, f"found {shown(value, place)}, expected an object")
        return
    known = {key.casefold(): key for key in kinds if key != "*"}
    for key, item in value.items():
        path = f"{place}.{key}" if place else key
        name = known.get(key.casefold())
        if name is not None:
            yield from check(item, kinds[name], path)
            continue
        near = _near(key, tuple(known.values()))
        if near:
            yield Finding(path, f'unknown key; did you mean "{near}"?')
        elif "*" in kinds:
            yield from check(item, kinds["*"], path)
        else:
            yield Finding(path, "unknown key, which plugins ignore", fatal=False)


def _near(word: str, words: tuple[str, ...]) -> str:
    """The one of `words` that was probably meant, empty if none comes close."""
    folded = {each.casefold(): each for each in words}
    found = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=_NEAR)
    return folded[found[0]] if found else ""


def _is_flag(value: JsonValue) -> bool:
    return isinstance(value, bool) or (
        isinstance(value, str) and value.casefold() in ("true", "false")
    )


def _is_integer(value: JsonValue) -> bool:
    # What reaches a plugin of 1500.0 is 1500.
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _parses(parse: Callable[[str], object]) -> Callable[[JsonValue], bool]:
    def test(value: JsonValue) -> bool:
        if value == "":  # the reference's zero value
            return True
        if not isinstance(value, str):
            return False
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return test


_TESTS: dict[str, Callable[[JsonValue], bool]] = {
    ANY: lambda _: True,
    STRING: lambda value: isinstance(value, str),
    INTEGER: _is_integer,
    BOOLEAN: lambda value: isinstance(value, bool),
    FLAG: _is_flag,
    OBJECT: lambda value: isinstance(value, dict),
    ADDRESS: _parses(parse_address),
    SUBNET: _parses(parse_network),
    INTERFACE: _parses(parse_interface),
    MAC: _parses(parse_mac),
}
