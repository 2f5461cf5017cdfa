from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni import jsonvalue
from cni.errors import DECODE_FAILURE, INVALID_CONFIG, CniError
from cni.ip import parse_address, parse_interface, parse_network
from cni.jsonvalue import JsonObject, objects_of, parse_json, parse_object, shown

Getter = Callable[[JsonObject], object]


def of(**members: Any) -> JsonObject:
    return JsonObject(members)


# Each getter, its answer for an absent key, and what it says it wants.
GETTERS: dict[str, tuple[Getter, object, str]] = {
    "string": (lambda o: o.string("k"), "", "a string"),
    "choice": (lambda o: o.choice("k", ("a", "b"), "b"), "b", 'one of "a", "b"'),
    "integer": (lambda o: o.integer("k", 7, 1, 9), 7, "an integer from 1 to 9"),
    "integer or none": (lambda o: o.integer("k", None, 1, 9), None, "an integer from 1 to 9"),
    "boolean": (lambda o: o.boolean("k"), False, "true or false"),
    "boolean by default": (lambda o: o.boolean("k", True), True, "true or false"),
    "object": (lambda o: o.object("k").raw, {}, "an object"),
    "items": (lambda o: o.items("k"), [], "a list"),
    "objects": (lambda o: o.objects("k"), [], "a list"),
    "strings": (lambda o: o.strings("k"), [], "a list"),
    "address": (lambda o: o.address("k"), None, "an IP address such as"),
    "interface": (lambda o: o.interface("k"), None, "an IP address with prefix length"),
    "network": (lambda o: o.network("k"), None, "a subnet such as"),
    "mac": (lambda o: o.mac("k"), "", "a unicast hardware address"),
}
KINDS: dict[str, object] = {
    "string": "word",
    "number": 3,
    "zero": 0,
    "fraction": 3.5,
    "whole fraction": 3.0,
    "true": True,
    "object": {"a": 1},
    "list": [1],
}
# Which kinds a getter takes; all others must be refused.
TAKEN = {
    "string": {"string"},
    "integer": {"number"},
    "integer or none": {"number"},
    "boolean": {"true"},
    "boolean by default": {"true"},
    "object": {"object"},
    "items": {"list"},
}


def wrong(get: Getter, document: JsonObject) -> str:
    with pytest.raises(CniError) as raised:
        get(document)
    assert raised.value.code == INVALID_CONFIG
    return raised.value.msg


@pytest.mark.parametrize("name", GETTERS)
def test_an_absent_key_and_null_are_the_default(name: str) -> None:
    get, default, _ = GETTERS[name]
    assert get(of()) == default
    assert get(of(other=1)) == default
    assert get(of(k=None)) == default


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GETTERS)
def test_a_wrong_type_names_key_value_and_what_was_expected(name: str, kind: str) -> None:
    get, _, expected = GETTERS[name]
    value = KINDS[kind]
    if kind in TAKEN.get(name, ()):
        assert get(of(k=value)) == value
        return
    message = wrong(get, of(k=value))
    if kind == "list" and name in ("objects", "strings"):
        assert message.startswith('key "k[0]": found 1, expected a')
        return
    assert message.startswith(f'key "k": found {json.dumps(value, separators=(",", ":"))}')
    assert expected in message


@pytest.mark.parametrize("name", ["string", "choice", "address", "interface", "network", "mac"])
def test_an_empty_string_is_the_default_as_a_zero_value_in_go(name: str) -> None:
    get, default, _ = GETTERS[name]
    assert get(of(k="")) == default


@pytest.mark.parametrize("name", ["integer", "boolean", "object", "items", "objects", "strings"])
def test_an_empty_string_is_no_number_boolean_or_container(name: str) -> None:
    assert wrong(GETTERS[name][0], of(k="")).startswith('key "k": found ""')


def test_a_required_string_must_be_there_and_say_something() -> None:
    assert of(k="x").required_string("k") == "x"
    for document, found in ((of(), "it is missing"), (of(k=None), "it is missing")):
        message = wrong(lambda o: o.required_string("k"), document)
        assert message == f'key "k": {found}, expected a non-empty string'
    assert 'found ""' in wrong(lambda o: o.required_string("k"), of(k=""))


def test_integers_have_bounds_and_no_width() -> None:
    def get(value: object) -> int:
        return of(k=value).integer("k", 0, -5, 2**40)

    assert [get(value) for value in (-5, 0, 4294967295, 34359738359, 2**40)] == [
        -5, 0, 4294967295, 34359738359, 2**40,
    ]  # fmt: skip
    for value in (-6, 2**40 + 1, 10**4000):
        assert "expected an integer from -5 to 1099511627776" in wrong(
            lambda o: o.integer("k", 0, -5, 2**40), of(k=value)
        )


def test_false_is_no_zero() -> None:
    assert "found false" in wrong(lambda o: o.integer("k", 0, 0, 1), of(k=False))
    assert "found 0" in wrong(lambda o: o.boolean("k"), of(k=0))


def test_addresses_are_parsed() -> None:
    document = of(a="10.1.2.3", i="10.1.2.3/24", n="10.1.2.3/24", m="02-00-5E-10-00-01")
    assert document.address("a") == parse_address("10.1.2.3")
    assert document.interface("i") == parse_interface("10.1.2.3/24")
    assert document.network("n") == parse_network("10.1.2.0/24")
    assert document.mac("m") == "02:00:5e:10:00:01"


# ---- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling", ["hostPort", "HostPort", "HOSTPORT", "hostport", "ho\u017ftPort"]
)
def test_keys_match_without_regard_to_case(spelling: str) -> None:
    assert JsonObject({spelling: 80}).integer("hostPort", 0, 0, 99) == 80
    assert JsonObject({spelling: 80}).has("HOSTport")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"hostPort":1,"HostPort":2}', 2),
        ('{"HostPort":2,"hostPort":1}', 1),
        ('{"hostPort":null,"HOSTPORT":5}', 5),
        ('{"HostPort":5,"hostPort":null}', 5),
        ('{"hostPort":1,"hostPort":3}', 3),
        ('{"hostPort":null,"HostPort":null}', 0),
    ],
)
def test_of_several_spellings_the_last_counts_as_in_go(text: str, value: int) -> None:
    assert parse_object(text.encode(), "x").integer("hostPort", 0, 0, 99) == value


def test_the_raw_object_keeps_its_spelling() -> None:
    raw: dict[str, Any] = {"Name": "a", "x": None}
    document = JsonObject(raw)
    assert document.string("name") == "a"
    assert document.raw is raw
    assert raw == {"Name": "a", "x": None}


def test_a_nested_key_is_named_by_its_path() -> None:
    document = parse_object(b'{"IPAM":{"ranges":[[{"subnet":"10.1.0.0/16"},{"subnet":5}]]}}', "x")
    ranges = document.object("ipam").items("ranges")
    inner = objects_of(ranges[0], "ipam.ranges[0]")  # type: ignore[arg-type]  # it is a list
    assert inner[1].where == "ipam.ranges[0][1]"
    message = wrong(lambda o: o.network("subnet"), inner[1])
    assert message.startswith('key "ipam.ranges[0][1].subnet": found 5, expected a subnet')


def test_an_element_is_named_by_its_index() -> None:
    document = of(k={"list": [{}, 3, None]}).object("k")
    assert 'key "k.list[1]": found 3, expected an object' in wrong(
        lambda o: o.objects("list"), document
    )
    assert 'key "list[1]": found null, expected a string' in wrong(
        lambda o: o.strings("list"), of(list=["a", None])
    )


def test_an_object_shows_itself_and_its_place() -> None:
    assert repr(of(k={"a": 1}).object("k")) == """JsonObject({"a":1}, 'k')"""


# ---- hostile values -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x\udfff"])
def test_text_that_no_kernel_and_no_utf8_can_take_is_refused(text: str) -> None:
    assert "text without NUL" in wrong(GETTERS["string"][0], of(k=text))
    assert 'key "k[1]"' in wrong(GETTERS["strings"][0], of(k=["fine", text]))


def test_text_beyond_ascii_is_fine() -> None:
    assert of(k="ü\U0001f600").string("k") == "ü\U0001f600"


@pytest.mark.parametrize(
    "value", ["x" * 1_000_000, ["x" * 1_000_000], {"x" * 1_000_000: 1}, list(range(100_000))]
)
def test_a_large_value_is_cut_short_in_the_message(value: object) -> None:
    message = wrong(GETTERS["boolean"][0], of(k=value))
    assert len(message) < 150
    assert "...," in message


def test_a_deep_value_is_named_without_being_shown() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "(a deeply nested value)"
    assert "deeply nested" in wrong(GETTERS["boolean"][0], of(k=deep))
    while deep:
        deep = deep[0]


@given(st.text(st.characters(codec=None)))
def test_a_message_can_be_written_whatever_the_value(text: str) -> None:
    message = wrong(GETTERS["boolean"][0], of(k=text))
    assert message.isascii()
    assert "\n" not in message


# ---- documents ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the config is empty, expected a JSON object"),
        (b" \n\t", "the config is empty"),
        (b"garbage", "is not JSON: Expecting value"),
        (b"{", "is not JSON"),
        (b"{}{}", "is not JSON: Extra data"),
        (b"\xef\xbb\xbf{}", "is not JSON: Unexpected UTF-8 BOM"),
        (b'{"a":"\xff"}', "is not UTF-8: invalid start byte at byte 6"),
        (b'{"a":"\xed\xa0\x80"}', "is not UTF-8"),
        ("{}".encode("utf-16"), "is not UTF-8"),
        (b'{"a":NaN}', "is not JSON: NaN is no number"),
        (b'{"a":1e999}', "is not JSON: the number 1e999 is too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "is not JSON: a number of 5000 digits"),
        (b"[" * 200_000, "is nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "is nested too deeply"),
        (b"[]", r"found \[\], expected a JSON object"),
        (b"null", "found null, expected a JSON object"),
        (b'"' + b"x" * 1_000_000 + b'"', r"xxx\.\.\., expected a JSON object"),
    ],
)
def test_a_document_that_is_none_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CniError, match=words) as raised:
        parse_object(data, "the config")
    assert raised.value.code == DECODE_FAILURE
    assert raised.value.msg.startswith("the config")
    assert len(raised.value.msg) < 200


def test_a_document_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonvalue, "MAX_DOCUMENT", 10)
    assert parse_json(b'"12345678"', "it") == "12345678"
    with pytest.raises(CniError, match="it has more than 10 bytes") as raised:
        parse_json(b'"123456789"', "it")
    assert raised.value.code == DECODE_FAILURE


@given(st.binary(max_size=100))
def test_any_bytes_are_a_value_or_a_decode_failure(data: bytes) -> None:
    try:
        parse_object(data, "it")
    except CniError as refused:
        failure = refused
    else:
        return
    assert failure.code == DECODE_FAILURE
    failure.msg.encode()


def test_a_list_of_lists_of_objects() -> None:
    document = JsonObject({"sets": [[{"a": 1}, {"b": 2}], [{}]]}, "ipam")
    found = document.object_lists("Sets", "lists")
    assert [[(one.raw, one.where) for one in inner] for inner in found] == [
        [({"a": 1}, "ipam.Sets[0][0]"), ({"b": 2}, "ipam.Sets[0][1]")],
        [({}, "ipam.Sets[1][0]")],
    ]
    wrongs: list[Any] = [[[]], [{}], [None], [7]]
    for wrong in wrongs:
        with pytest.raises(CniError, match=r'"sets\[0\]".*expected lists'):
            JsonObject({"sets": wrong}).object_lists("sets", "lists")


def test_names_with_texts() -> None:
    document = JsonObject({"a.B": "x", "a.b": "", "gone": None}, "sysctl")
    assert document.texts() == {"a.B": "x", "a.b": ""}
    with pytest.raises(CniError, match=r'"sysctl.a": found 1, expected a string'):
        JsonObject({"a": 1}, "sysctl").texts()


def test_one_key_replaced() -> None:
    document = JsonObject({"IPAM": {"type": "x"}, "mtu": 9}, "plugins[0]")
    made = document.replaced("ipam", {"type": "y"})
    assert (made.raw, made.where) == ({"mtu": 9, "ipam": {"type": "y"}}, "plugins[0]")
    assert document.raw["IPAM"] == {"type": "x"}


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("TRUE", True), ("false", False)])
def test_a_flag_may_be_a_word(value: bool | str, expected: bool) -> None:
    assert JsonObject({"on": value}).flag("on") is expected
    with pytest.raises(CniError, match="expected true or false"):
        JsonObject({"on": "yes"}).flag("on")
