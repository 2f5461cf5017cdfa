"""Readers, pages and published schemas say the same about every key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CniError
from cni.jsonvalue import JsonObject
from cnitool import schemas
from cnitool.schemas import document, readers, recorder
from cnitool.schemas.pages import Pages
from cnitool.schemas.recorder import Asked
from tests.cnitool.conftest import ROOT

PAGES = Pages(ROOT)
READERS = {**readers.INTERFACES, **readers.IPAM}
NAMES = sorted(READERS)


def asked_by(name: str) -> dict[str, Asked]:
    reader = READERS[name]
    return dict(recorder.record_reader(reader.of, reader.samples).walk())


@pytest.mark.parametrize("name", NAMES)
def test_a_page_tells_of_what_is_read_and_of_nothing_else(name: str) -> None:
    read = asked_by(name)
    # An IPAM plugin's own type is read by whoever calls it.
    assert PAGES.documented(name) - set(read) <= {"ipam.type"}
    for path in read:
        if path != "ipam.type":
            assert PAGES.about(name, path).meaning


@pytest.mark.parametrize("name", NAMES)
def test_a_page_tells_kind_bounds_and_default_as_they_are_read(name: str) -> None:
    for path, asked in asked_by(name).items():
        if path not in PAGES.documented(name):
            continue
        words = PAGES.about(name, path)
        kinds = _KINDS[asked.kind]
        assert not words.kind or re.match(kinds, words.kind), (path, words.kind)
        bounds = re.search(r"(\d+) to (\d+)", words.kind)
        if bounds:
            assert (asked.low, asked.high) == (int(bounds[1]), int(bounds[2])), path
        default = words.default_value()
        if default is not None and asked.default is not None:
            assert default == asked.default, path
        if asked.choices and words.kind.startswith('`"'):
            found = re.findall(r'"([^"]+)"', words.kind)
            assert set(found) == set(filter(None, asked.choices)), path


_KINDS = {
    recorder.STRING: r"string|`\"|list",
    recorder.ADDRESS: "string",
    recorder.INTERFACE: "string",
    recorder.SUBNET: "string",
    recorder.MAC: "string",
    recorder.BOOLEAN: "boolean",
    recorder.INTEGER: "integer",
    recorder.OBJECT: "object",
    recorder.OBJECTS: "list of",
    recorder.OBJECT_LISTS: "list of lists",
    recorder.STRINGS: "list of",
}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_calls_required_a_reader_requires(name: str) -> None:
    """Without the key the reader refuses each sample that has it."""
    reader = READERS[name]
    for path in PAGES.documented(name):
        # `ipam.subnet` is of the older form, a range in `ipam` itself, and required of a range.
        if not PAGES.about(name, path).required or path.count(".") > 1 or path == "ipam.subnet":
            continue
        for sample in reader.samples:
            made = json.loads(json.dumps(sample))
            place = made
            for key in path.split(".")[:-1]:
                place = place.get(key, {})
            for each in place if isinstance(place, list) else [place]:
                if each.pop(path.split(".")[-1], None) is not None:
                    with pytest.raises(CniError):
                        reader.of(JsonObject(made))


def test_published_are_those_that_would_be_made(tmp_path: Path) -> None:
    """If not, `make schemas` and a look at the difference."""
    document.write(tmp_path)
    published = {path.name: path.read_text() for path in Path(schemas.DIRECTORY).iterdir()}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == published
    assert schemas.names() == sorted([*NAMES, schemas.CONFLIST])
    assert (ROOT / "schemas").resolve() == Path(schemas.DIRECTORY)


def test_a_recorder_follows_a_reader_everywhere() -> None:
    def read(config: JsonObject) -> object:
        if config.choice("how", ("one", "other"), "one") == "other":
            config.address("only-then")
        if config.string("peer"):
            config.mac("peer")
        config.object("inner").replaced("deep", {"x": 1}).object("deep").integer("x", None, 1, 9)
        for items in config.object_lists("sets", "lists"):
            for item in items:
                item.boolean("on", True)
        config.object("named").texts()
        return config.flag("flag")

    sample: Any = {"peer": "02:00:00:00:00:01", "sets": [[{}]]}
    found = dict(recorder.record_reader(read, (sample,)).walk())
    assert {path: one.kind for path, one in found.items()} == {
        "how": recorder.STRING,
        "only-then": recorder.ADDRESS,
        "peer": recorder.MAC,
        "inner": recorder.OBJECT,
        "inner.deep": recorder.OBJECT,
        "inner.deep.x": recorder.INTEGER,
        "sets": recorder.OBJECT_LISTS,
        "sets.on": recorder.BOOLEAN,
        "named": recorder.OBJECT,
        "flag": recorder.FLAG,
    }
    assert (found["inner.deep.x"].low, found["inner.deep.x"].high) == (1, 9)
    assert found["sets.on"].default is True
    assert found["named"].names


def test_a_key_of_two_kinds_is_a_defect() -> None:
    def read(config: JsonObject) -> object:
        return config.boolean("x"), config.integer("x", 0, 0, 1)

    with pytest.raises(AssertionError, match="asked for as boolean and as integer"):
        recorder.record_reader(read, ({},))
