"""JSON text to values and back, through the accelerator inside the standard library's `json`.

`import json` costs a plugin 4 ms on top of 10: its modules bring `re` and `enum` for what they do
where there is no accelerator. The C scanner and encoder, `_json`, need neither, and are what
`json.loads` and `json.dumps` hand the whole work to. Wherever they are not content (no JSON in the
text, no accelerator in the interpreter) `json` itself is asked, and says what is wrong.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from cni.jsonvalue import JsonValue

_WHITE_SPACE = " \t\n\r"  # RFC 8259, section 2
_LONG = 1 << 16
"""From here on, the collector of garbage is kept from a document that is being read."""


def _no_number(word: str) -> NoReturn:
    """Refuse NaN and Infinity, which `json` would let pass."""
    raise ValueError(f"{word} is no number")


def _finite(digits: str) -> float:
    """Refuse what `float` makes an infinity of, and what no JSON could say again."""
    value = float(digits)
    if value - value != 0:
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


def _integer(digits: str) -> int:
    """Refuse in words of ours what `int` refuses (sys.get_int_max_str_digits)."""
    try:
        return int(digits)
    except ValueError:
        raise ValueError(f"a number of {len(digits)} digits is too large") from None


class _Settings:
    """What the scanner reads: the defaults of `json.loads` but for numbers that are none."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = staticmethod(_finite)
    parse_int = int  # as a function of ours it would cost every integer a call
    parse_constant = staticmethod(_no_number)


if TYPE_CHECKING:

    def _scan(text: str, start: int) -> tuple[JsonValue, int]: ...

    def _encode(value: JsonValue, level: int) -> tuple[str, ...]: ...

    def _pairs_scanner(
        hook: Callable[[list[tuple[str, JsonValue]]], dict[str, JsonValue]],
    ) -> Callable[[str, int], tuple[dict[str, JsonValue], int]]: ...

else:
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner
    except ImportError:
        import json

        _scan = json.JSONDecoder(parse_float=_finite, parse_constant=_no_number).scan_once
        _encode = json.JSONEncoder(separators=(",", ":")).iterencode

        def _pairs_scanner(hook):
            return json.JSONDecoder(object_pairs_hook=hook).scan_once

    else:
        _scan = make_scanner(_Settings)
        _encode = make_encoder(
            None, None, encode_basestring_ascii, None, ":", ",", False, False, False
        )

        def _pairs_scanner(hook):
            return make_scanner(type("", (_Settings,), {"object_pairs_hook": staticmethod(hook)}))


def loads(text: str) -> JsonValue:
    """The value of one JSON document.

    Raises ValueError with the words of `json`, and RecursionError for one nested too deeply.
    """
    document = text.strip(_WHITE_SPACE)
    try:
        value, end = _scan(document, 0) if len(document) < _LONG else _scan_long(document)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - without `json` the scanner cannot even raise its own error
        value, end = None, -1
    if end == len(document):
        return value
    import json

    refused: JsonValue = json.loads(
        text, parse_float=_finite, parse_int=_integer, parse_constant=_no_number
    )
    return refused


def _scan_long(document: str) -> tuple[JsonValue, int]:
    """`_scan` without a collection: nothing that it makes is garbage.

    Else all there is so far is gone through again and again, which takes longer than to read it.
    """
    import gc

    collects = gc.isenabled()
    try:
        gc.disable()  # in here, for a signal may strike behind it
        return _scan(document, 0)
    finally:
        if collects:
            gc.enable()


def repeated_keys(text: str, key: str) -> list[str]:
    """The names that the object at the document's `key` has more than once, which `loads` hides.

    key: without regard to case, the last of several. text: a document that `loads` takes.
    """
    found: dict[int, list[str]] = {}
    objects: list[dict[str, JsonValue]] = []  # kept, so that none gets the id of another

    def noted(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            found[id(made)] = [name for name in made if names.count(name) > 1]
            objects.append(made)
        return made

    document = _pairs_scanner(noted)(text.strip(_WHITE_SPACE), 0)[0]
    folded = {name.casefold(): value for name, value in document.items()}
    return found.get(id(folded.get(key.casefold())), [])


def dumps(value: JsonValue) -> str:
    """Compact JSON in ASCII. Raises RecursionError for a value nested too deeply."""
    return "".join(_encode(value, 0))
