"""The published schemas, judged by another validator: what is right passes, slips do not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cnitool import schemas
from cnitool.schemas import readers
from tests.cnitool.conftest import ROOT, Tool
from tests.cnitool.test_validate import BRIDGE, PORTMAP, VXLAN

VALIDATORS = {name: Draft202012Validator(schemas.load(name)) for name in schemas.names()}
_FENCE = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)


def problems(name: str, document: Any) -> list[str]:
    return [error.message for error in VALIDATORS[name].iter_errors(document)]


def shown() -> Iterator[tuple[str, Any]]:
    """(where, document) of every configuration in the docs and the pages."""
    for page in sorted(
        [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/**/README.md")]
    ):
        if ".venv" in page.parts:
            continue
        for number, text in enumerate(_FENCE.findall(page.read_text(encoding="utf-8"))):
            try:
                document = json.loads(text)
            except ValueError:  # one with "…" for what is left out
                continue
            if isinstance(document, dict) and ({"plugins", "type"} & set(document)):
                yield f"{page.relative_to(ROOT)} {number}", document


SHOWN = dict(shown())


@pytest.mark.parametrize("name", sorted(VALIDATORS))
def test_each_is_a_schema(name: str) -> None:
    document = schemas.load(name)
    Draft202012Validator.check_schema(document)
    assert document["$id"] == f"urn:pycni:schema:{name}"


def test_the_docs_show_configurations() -> None:
    assert len(SHOWN) > 20


@pytest.mark.parametrize("where", SHOWN)
def test_what_the_docs_show_is_right(where: str) -> None:
    document = SHOWN[where]
    if "plugins" in document:
        assert problems(schemas.CONFLIST, document) == []
    elif document["type"] in VALIDATORS:
        assert problems(document["type"], document) == []


@pytest.mark.parametrize("name", sorted({**readers.INTERFACES, **readers.IPAM}))
def test_samples_and_examples_are_right(name: str) -> None:
    """What the readers are tried with, and every key with each of its examples."""
    for sample in {**readers.INTERFACES, **readers.IPAM}[name].samples:
        if name in readers.IPAM:
            section = sample["ipam"]
            assert isinstance(section, dict)
            assert problems(name, {"type": name, **section}) == []
        else:
            assert problems(name, {"type": name, **sample}) == []
    properties: Any = schemas.load(name)["properties"]
    for key, kind in properties.items():
        for example in kind.get("examples", ()):
            if key == "ipam":
                continue
            one = VALIDATORS[name].evolve(schema={**schemas.load(name), "required": []})
            document = {"type": name, key: example}
            assert [error.message for error in one.iter_errors(document)] == []


def network(*plugins: Any, **keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": "net", "plugins": list(plugins), **keys}


GOOD = {**BRIDGE, "mtu": 1500}
del GOOD["HairpinMode"]


@pytest.mark.parametrize(
    "document",
    [
        network(GOOD, PORTMAP),
        network(VXLAN),
        network({"type": "somebody-elses", "whatever": 1}),
        network(GOOD, disableCheck="True", disableGC=True, cniVersions=["1.0.0", "1.1.0"]),
        network({**GOOD, "ipam": {}}, **{"cni.dev/anything": 1, "$schema": "./x.json"}),
        network({**GOOD, "ipam": {"type": "somebody-elses", "x": 1}}),
        network({"type": "bridge", "runtimeConfig": {"mac": "02:00:00:00:00:01", "other": {}}}),
        {"cniVersion": "1.0.0", "name": "net", "loadOnlyInlinedPlugins": False},
    ],
)
def test_what_is_right(document: Any) -> None:
    assert problems(schemas.CONFLIST, document) == []


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (network({**GOOD, "isGatway": True}), "isGatway"),
        (network({**GOOD, "mtu": "1500"}), "'1500' is not of type 'integer'"),
        (network({**GOOD, "mtu": 70000}), "70000 is greater than the maximum of 65535"),
        (network({**GOOD, "ipMasq": "true"}), "'true' is not of type 'boolean'"),
        (network({**GOOD, "ipMasqBackend": "nft"}), "'nft' is not one of"),
        (network({**GOOD, "vlanTrunk": [{"minId": 1}]}), "minId"),
        (network({**GOOD, "ipam": {"type": "host-local", "subnett": "10.1.0.0/16"}}), "subnett"),
        (network({**GOOD, "ipam": {"subnet": "10.1.0.0/16"}}), "not valid under any of the given"),
        (network({**GOOD, "ipam": {"type": "host-local", "subnet": "10.1.0.0"}}), "does not match"),
        (
            network({**GOOD, "ipam": {"type": "host-local", "gateway": "10.1.0.256"}}),
            "does not match",
        ),
        (
            network({**GOOD, "ipam": {"type": "static", "addresses": [{}]}}),
            "'address' is a required",
        ),
        (network({"type": "macvlan", "mac": "01:00:00:00:00:01"}), "does not match"),
        (network({"type": "vlan", "vlanId": 1}), "'master' is a required property"),
        (network({**VXLAN, "vni": 0}), "0 is less than the minimum of 1"),
        (network({"type": "tuning", "sysctl": {"net.core.somaxconn": 500}}), "500 is not of type"),
        (network({"mtu": 1}), "'type' is a required property"),
        (network(GOOD, pluginz=[]), "pluginz"),
        (network(GOOD, disableCheck="maybe"), "'maybe' is not valid"),
        ({"cniVersion": "1.0.0", "plugins": [GOOD]}, "'name' is a required property"),
    ],
)
def test_slips_are_found(document: Any, words: str) -> None:
    found = problems(schemas.CONFLIST, document)
    assert any(words in each for each in found), found


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "address",
            ("", "10.1.2.3", "255.255.255.255", "fe80::1", "::", "::ffff:10.1.2.3", "2001:db8::1"),
            ("10.1.2", "10.1.2.3.4", "10.1.2.300", "01.2.3.4", "host", "10.1.2.3/24"),
        ),
        ("subnet", ("", "10.1.0.0/16", "fd00::/64", "0.0.0.0/0"), ("10.1.0.0", "fd00::", "x/8")),
        (
            "mac",
            ("", "02:00:5e:10:00:01", "02-00-5E-10-00-01", "0200.5e10.0001"),
            ("01:00:5e:10:00:01", "02:00:5e:10:00", "0200.5e10", "02005e100001"),
        ),
    ],
)
def test_texts(kind: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    definitions: Any = schemas.load("bridge")["$defs"]
    one = Draft202012Validator(definitions[kind])
    assert all(map(one.is_valid, good))
    assert not any(map(one.is_valid, bad))


def test_cnitool_prints_them(tool: Tool, tmp_path: Path) -> None:
    assert tool.succeed("schema", "ptp") == schemas.text("ptp")
    assert tool.succeed("schema") == schemas.text(schemas.CONFLIST)
    made = tmp_path / "made"
    assert tool.succeed("schema", "--all", "--output", str(made)) == f"{made}: 21 schemas\n"
    assert sorted(path.name for path in made.iterdir()) == [
        f"{name}{schemas.SUFFIX}" for name in schemas.names()
    ]
    assert 'there is no schema of "nonsense", expected one of: bandwidth' in tool.fail(
        "schema", "nonsense"
    )
    assert "--all needs --output" in tool.fail("schema", "--all")
    assert "cannot be written: File exists" in tool.fail(
        "schema", "--all", "--output", str(ROOT / "LICENSE")
    )


def test_what_the_demos_use_is_right() -> None:
    from examples.demo.__main__ import NETWORK

    assert problems(schemas.CONFLIST, NETWORK) == []


def test_sentences_stand_by_themselves() -> None:
    """In an editor there is no page to look further down on, and no link to follow."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("description"), str):
                yield value["description"]
            for inner in value.values():
                yield from walk(inner)

    for name in schemas.names():
        for sentence in walk(schemas.load(name)):
            assert sentence
            assert not re.search(r"see below|see above|\(below\)|\]\(", sentence)
