"""The short way to the C accelerator gives what the standard library's `json` gives."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cni import jsontext

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_what_json_writes(value: Any) -> None:
    text = jsontext.dumps(value)
    assert text == json.dumps(value, separators=(",", ":"))
    assert text.isascii()
    assert jsontext.loads(text) == value


@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.parametrize("end", ["]", "", "}"])
def test_no_garbage_is_collected_in_a_long_document(end: str, *, collects: bool) -> None:
    """Millions of empty lists took four times as long with it."""
    text = "[" + "[]," * 100_000 + "[]"
    collections: list[str] = []

    def note(phase: str, _info: dict[str, int]) -> None:
        collections.append(phase)

    if not collects:
        gc.disable()
    gc.callbacks.append(note)
    try:
        if end == "]":
            jsontext.loads(text + end)
            assert collections == []
        else:
            with pytest.raises(ValueError, match="Expecting ',' delimiter"):
                jsontext.loads(text + end)
        assert gc.isenabled() is collects
    finally:
        gc.callbacks.remove(note)
        gc.enable()


@given(VALUES, st.sampled_from([None, 2]), st.booleans())
def test_what_is_read_is_what_json_reads(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert jsontext.loads(f" \t\r\n{text}\n ") == value


@settings(max_examples=500)
@given(st.text(max_size=30) | st.text('{}[]",:0123456789.eE+-nulltrueNaInfy\\ud8\n', max_size=30))
def test_what_is_no_json_fails_in_the_words_of_json(text: str) -> None:
    def answer(loads: Any) -> tuple[str, Any]:
        try:
            return "value", loads(text)
        except ValueError as error:
            return "error", str(error)

    ours, theirs = answer(jsontext.loads), answer(json.loads)
    if ours != theirs and repr(ours) != repr(theirs):
        assert any(word in text for word in ("NaN", "Infinity", "e", "E")), (ours, theirs)
        assert ours[0] == "error"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("1e999", "the number 1e999 is too large"),
        ('{"a": -1e400}', "the number -1e400 is too large"),
        ("9" * 5000, "a number of 5000 digits is too large"),
        ("\ufeff{}", "BOM"),
        ("{} {}", "Extra data"),
        ("", "Expecting value"),
        ('{"a": 01}', "delimiter"),
        ("'a'", "Expecting value"),
        ('"a\nb"', "Invalid control character"),
    ],
)
def test_what_is_refused_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        jsontext.loads(text)


def test_numbers_are_exact_beyond_every_width() -> None:
    assert jsontext.loads("34359738359") == 34359738359
    assert jsontext.loads("9" * 4000) == int("9" * 4000)
    assert jsontext.loads("1e308") == 1e308


def test_of_a_repeated_key_the_last_counts() -> None:
    assert jsontext.loads('{"a":1,"b":2,"a":3}') == {"a": 3, "b": 2}


def test_too_deep_is_a_recursion_error_in_both_directions() -> None:
    with pytest.raises(RecursionError):
        jsontext.loads("[" * 100_000 + "]" * 100_000)
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(RecursionError):
        jsontext.dumps(value)
    while value:  # taken apart by hand, for its end would recurse as well
        value = value[0]


WITHOUT = """
import sys
sys.modules["_json"] = None
from cni import jsontext
text = '{"a":[1,2.5,"\\\\u00e9",null,true]}'
assert jsontext.dumps(jsontext.loads(text)) == text
assert jsontext.repeated_keys('{"a": {"x": 1, "x": 2}}', "a") == ["x"]
for bad in ("NaN", "1e999", "{"):
    try:
        jsontext.loads(bad)
    except ValueError:
        continue
    raise SystemExit(bad)
"""


def test_it_works_in_an_interpreter_without_the_accelerator() -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", WITHOUT], check=True, env=environ, timeout=20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": {"x": 1, "y": 2}}', []),
        ('{"a": {"x": 1, "y": 2, "x": 1}}', ["x"]),
        ('\n{"A": {"x": 1, "x": 2, "X": 3, "y": {}, "y": {}}} ', ["x", "y"]),
        ('{"a": {"x": 1, "x": 2}, "A": {"x": 1}}', []),
        ('{"b": {"x": 1, "x": 2}, "a": {"c": {"x": 1, "x": 2}}}', []),
        ('{"a": [{"x": 1, "x": 2}]}', []),
        ('{"b": {"x": 1, "x": 2}}', []),
        ('{"a": 5, "a": 6}', []),
    ],
)
def test_repeated_keys(text: str, expected: list[str]) -> None:
    assert jsontext.repeated_keys(text, "a") == expected
