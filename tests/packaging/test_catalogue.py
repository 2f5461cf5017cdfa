"""The catalogue of errors is that of the code, and every error in it teaches something."""

from __future__ import annotations

import ast

import catalogue
import pytest

from cni import errors

JUSTIFIED = {
    "<what> ": "what is no JSON says where it stops being so",
    "<source>: no plugin configs found": "what is missing is named, and where it may be",
    "the JSON document is nested too": "nobody writes such a document by mistake",
    "Sysctl <key> is not allowed.": "the reference's words; the file that mends it is the last one",
    'network "<name>": <results> has no': "CHECK of what was never added: there is nothing to mend",
    "--output is for --all;": "what else is possible is said",
    "containers have rules in <tables>": "what it needs is named",
    "container <container_id> has no IPv": "what it lacks is named",
}
"""Beginnings of messages that name neither what was expected nor a remedy, each with the reason."""
BY_THEIR_CODE = {
    errors.TRY_AGAIN_LATER,  # the code itself says what to do
    errors.CHECK_FAILED,  # a difference; DEL and ADD again, whatever it is
    0,  # a part of another error, which has the rest
}
MESSAGES = catalogue.messages()


def test_the_page_is_that_of_the_code() -> None:
    """If not, `make errors` and a look at the difference."""
    assert catalogue.TARGET.read_text(encoding="utf-8") == catalogue.page()


def test_every_code_has_a_meaning() -> None:
    found = {one.number for one in catalogue.codes().values()}
    assert found == {
        value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)
    }


def test_every_message_says_what_was_expected_or_what_mends_it() -> None:
    silent = [one for one in MESSAGES if not one.teaches and one.code not in BY_THEIR_CODE]
    unjustified = [one for one in silent if not one.text.startswith(tuple(JUSTIFIED))]
    assert unjustified == [], "say what was expected, or end with what mends it"
    for beginning in JUSTIFIED:
        assert any(one.text.startswith(beginning) for one in silent), f"{beginning} is mended"


def test_every_message_names_something_of_the_users() -> None:
    """A key, an interface, a file: something is filled in, or a key is quoted."""
    for one in MESSAGES:
        if one.code not in BY_THEIR_CODE:
            named = any(mark in one.text for mark in ("<", '"', "--"))
            assert named or one.text.startswith(tuple(JUSTIFIED)), one


def read(source: str) -> list[tuple[int, str]]:
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    return list(catalogue.messages_of(function))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            'raise CniError(INVALID_CONFIG, f"key {one.place(key)}: found {it}, expected 1")',
            [(7, "key <key>: found <it>, expected 1")],
        ),
        (
            'raise config.wrong("vni", f"an integer up to {_MAX}")',
            [(7, 'key "vni": found <value>, expected an integer up to <max>')],
        ),
        (
            'raise wrong_value(place, text, "a subnet", errors.IO_FAILURE)',
            [(5, 'key "<place>": found <value>, expected a subnet')],
        ),
        (
            'text = "one" if x else "two"; raise CniError(SYSTEM, f"{text} of {a.b(c.d)}")',
            [(101, "one of <d>"), (101, "two of <d>")],
        ),
        ('raise CniError(error.code, f"{where}: " + "see there")', [(0, "<where>: see there")]),
        ("raise CniError(SYSTEM, error.msg)", []),
        (
            'nl.request(KIND, payload, 0, f"find the interface {name}")',
            [(101, "cannot find the interface <name>: <kernel>")],
        ),
        (
            'raise NetlinkError(errno.ENOENT, "use it", extack="none; load it")',
            [(101, "cannot use it: <kernel>; the kernel says: none; load it")],
        ),
        (
            'raise IptablesError(errno.ENOENT, what, f"{name} is not installed")',
            [(101, "cannot <what>: <name> is not installed")],
        ),
    ],
)
def test_how_a_message_is_read(body: str, expected: list[tuple[int, str]]) -> None:
    assert read(f"def f():\n    {body}\n") == expected


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        ('key "mtu": found 1, expected 68', 'key "mtu": found 1', "expected 68"),
        ("<name> is down: ip link set <name> up", "<name> is down", "ip link set <name> up"),
        ("it is gone; DEL before another ADD", "it is gone", "DEL before another ADD"),
        ("it is gone", "it is gone", ""),
    ],
)
def test_where_the_remedy_begins(text: str, said: str, remedy: str) -> None:
    assert catalogue.Message(7, "x", "x.py", text).split() == (said, remedy)
