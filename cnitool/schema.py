"""What is wrong with a document by a JSON Schema, in words that help.

It understands what `cnitool.schemas` publishes, and reads documents as plugins do: keys in any
case, null for absent, 1500.0 for 1500. A general validator knows nothing of that, nor which key a
misspelt one was meant to be, and the one there is for Python would cost a start-up of 0.2 s.
"""

from __future__ import annotations

import difflib

from cni.ip import parse_address, parse_interface, parse_mac, parse_network
from cni.jsonvalue import shown
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni.jsonvalue import JsonValue
    from cnitool.schemas import Schema

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


def check(value: JsonValue, schema: Schema, place: str) -> Iterator[Finding]:
    """Everything about `value` that is not as the schema has it.

    null is an absent value, and right. What is required is not looked for, since the plugin's
    reader says better why. A section `ipam` is passed over: its schema depends on its type.
    """
    if value is None:
        return
    kind = schema.get("type")
    if "enum" in schema:
        yield from _check_choice(value, _list(schema, "enum"), place)
    elif kind == "object":
        yield from _check_object(value, schema, place)
    elif kind == "array":
        yield from _check_array(value, schema, place)
    else:
        expected = _problem(value, schema)
        if expected:
            yield Finding(place, f"found {shown(value, place)}, expected {expected}")


def _problem(value: JsonValue, schema: Schema) -> str:
    """What is expected in place of a value that stands by itself; empty where it is right."""
    parsed = _TEXTS.get(str(schema.get("$ref", "")).removeprefix("#/$defs/"))
    if parsed is not None:
        expected, test = parsed
        return "" if test(value) else expected
    kind = schema.get("type")
    if kind == "integer" and not _is_integer(value, schema):
        return f"an integer from {schema['minimum']} to {schema['maximum']}"
    if kind == "boolean" and not isinstance(value, bool):
        return "true or false"
    if kind == "string" and not isinstance(value, str):
        return "a string"
    if "anyOf" in schema and "$ref" not in schema and not _is_flag(value):
        return 'true, false or one of these as a string ("true")'
    return ""


def _check_choice(value: JsonValue, choices: list[JsonValue], place: str) -> Iterator[Finding]:
    if value in choices:
        return
    texts = [choice for choice in choices if isinstance(choice, str) and choice]
    words = " or ".join(f'"{word}"' for word in texts)
    near = _near(value, tuple(texts)) if isinstance(value, str) else ""
    hint = f'; did you mean "{near}"?' if near else ""
    yield Finding(place, f"found {shown(value, place)}, expected {words}{hint}")


def _check_array(value: JsonValue, schema: Schema, place: str) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield Finding(place, f"found {shown(value, place)}, expected a list")
        return
    for index, item in enumerate(value):
        yield from check(item, _object(schema, "items"), f"{place}[{index}]")


def _check_object(value: JsonValue, schema: Schema, place: str) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield Finding(place, f"found {shown(value, place)}, expected an object")
        return
    properties = _object(schema, "properties")
    known = {key.casefold(): key for key in properties}
    others = schema.get("additionalProperties")
    for key, item in value.items():
        path = f"{place}.{key}" if place else key
        name = known.get(key.casefold())
        if name is not None:
            yield from check(item, _object(properties, name), path)
        elif others is None or "/" in key:  # others' business
            continue
        elif near := _near(key, tuple(properties)):
            yield Finding(path, f'unknown key; did you mean "{near}"?')
        elif isinstance(others, dict):
            yield from check(item, others, path)
        else:
            yield Finding(path, "unknown key, which plugins ignore", fatal=False)


def _object(schema: Schema, key: str) -> Schema:
    found = schema.get(key)
    return found if isinstance(found, dict) else {}


def _list(schema: Schema, key: str) -> list[JsonValue]:
    found = schema.get(key)
    return found if isinstance(found, list) else []


def _near(word: str, words: tuple[str, ...]) -> str:
    """The one of `words` that was probably meant, empty if none comes close."""
    folded = {each.casefold(): each for each in words}
    found = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=_NEAR)
    return folded[found[0]] if found else ""


def _is_flag(value: JsonValue) -> bool:
    return isinstance(value, bool) or (
        isinstance(value, str) and value.casefold() in ("true", "false")
    )


def _is_integer(value: JsonValue, schema: Schema) -> bool:
    # What reaches a plugin of 1500.0 is 1500.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    low, high = schema["minimum"], schema["maximum"]
    assert isinstance(low, int)
    assert isinstance(high, int)
    return value == value // 1 and low <= value <= high


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


_TEXTS: dict[str, tuple[str, Callable[[JsonValue], bool]]] = {
    "address": ("an IP address such as 10.1.2.3 or 2001:db8::3", _parses(parse_address)),
    "subnet": ("a subnet such as 10.1.0.0/16 or 2001:db8::/64", _parses(parse_network)),
    "interface": (
        "an IP address with prefix length such as 10.1.2.3/24",
        _parses(parse_interface),
    ),
    "mac": ("a unicast hardware address such as 02:00:5e:10:00:01", _parses(parse_mac)),
}
