"""JSON as Go's `encoding/json` writes it, so that plugins and tools read from us what they know.

Compact, object keys sorted, `<`, `>`, `&` and the two Unicode line ends as escapes, and a number
without a fraction as an integer: Go decodes 1500.0 to a float and writes 1500, which a plugin with
an integer field then accepts. Integers stay exact, where Go rounds those beyond 2**53.
"""

from __future__ import annotations

import json

from cni.errors import DECODE_FAILURE, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

_ESCAPED = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_EXPONENT_FROM = 1e21  # encoding/json, floatEncoder


def compact(value: JsonValue, *, sort: bool = True) -> bytes:
    """One line of UTF-8 without spaces.

    sort: whether the outermost object's keys are sorted; those further in always are.
    Raises CniError(DECODE_FAILURE) for a value nested more deeply than can be written.
    """
    try:
        if not sort and isinstance(value, dict):
            members = (f"{_line(key)}:{_line(item)}" for key, item in value.items())
            text = f"{{{','.join(members)}}}"
        else:
            text = _line(value)
    except RecursionError:
        raise CniError(DECODE_FAILURE, "the JSON document is nested too deeply") from None
    return _encoded(text)


def pretty(value: JsonValue) -> str:
    """As Go's `MarshalIndent` with four spaces; keys keep their order."""
    text = json.dumps(_plain(value), indent=4, ensure_ascii=False)
    return _encoded(text).decode()


def _line(value: JsonValue) -> str:
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _encoded(text: str) -> bytes:
    text = text.translate(_ESCAPED)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can spell and UTF-8 cannot: Go puts U+FFFD there.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _plain(value: JsonValue) -> JsonValue:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXPONENT_FROM else value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
