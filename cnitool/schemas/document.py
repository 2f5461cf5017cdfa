"""JSON Schema from what readers ask for and what pages say: all documents, as text.

Each document stands by itself: an editor needs no other file to use it. `make schemas` writes them;
nothing of this is run where pycni is installed, where there are no pages.
"""

from __future__ import annotations

import json
from pathlib import Path

from cni.errors import CniError
from cnitool import schemas
from cnitool.schemas import pages, readers, recorder
from cnitool.schemas.pages import Pages
from cnitool.schemas.recorder import Asked
from libcni.conf import read_network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.jsonvalue import JsonObject, JsonValue
    from cnitool.schemas import Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ROOT = Path(__file__).resolve().parents[2]

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_V6 = r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*(:[0-9.]+)?"
_HEX = "[0-9A-Fa-f]"
_UNICAST = f"{_HEX}[02468ACEace]"
_MAC = f"{_UNICAST}(([:-]{_HEX}{{2}}){{5}}|{_HEX}{{2}}(\\.{_HEX}{{4}}){{2}})"
# As in the reference an empty text is none.
TEXTS: dict[str, Schema] = {
    "address": {"type": "string", "pattern": f"^({_V4}|{_V6})?$"},
    "interface": {"type": "string", "pattern": f"^(({_V4}|{_V6})/[0-9]{{1,3}})?$"},
    "subnet": {"type": "string", "pattern": f"^(({_V4}|{_V6})/[0-9]{{1,3}})?$"},
    "mac": {"type": "string", "pattern": f"^({_MAC})?$"},
}
"""Strings that are parsed."""
CAPABILITIES = (
    "aliases", "bandwidth", "cgroupPath", "deviceID", "dns", "infinibandGUID", "ipRanges", "ips",
    "mac", "portMappings",
)  # fmt: skip
"""Those of CONVENTIONS.md; a plugin may know others."""

_NETWORK: Schema = {
    "cniVersion": "1.0.0",
    "name": "net",
    "plugins": [{"type": "bridge"}],
}
_FILLED_IN = ("args", "args.cni", "runtimeConfig")
"""Objects in which others may want to say something to other plugins."""
_COMMON = ("type", "name", "cniVersion", "capabilities", "runtimeConfig", "args")
_LIST_ONLY = ("cniVersions", "disableCheck", "disableGC", "loadOnlyInlinedPlugins")


def documents() -> dict[str, str]:
    """All documents by their names. Raises LookupError for a key that no page tells of."""
    maker = _Maker(Pages(ROOT))
    made = {name: maker.plugin(name) for name in readers.INTERFACES}
    made |= {name: maker.allocator(name) for name in readers.IPAM}
    made[schemas.CONFLIST] = maker.conflist()
    return {
        name: json.dumps(made[name], indent=2, ensure_ascii=False) + "\n" for name in sorted(made)
    }


def write(directory: Path) -> None:
    """Make all documents there, and remove others of the kind."""
    made = documents()  # which fails where a key has no sentence, and then leaves the old ones
    for path in directory.glob(f"*{schemas.SUFFIX}"):
        path.unlink()
    for name, text in made.items():
        (directory / f"{name}{schemas.SUFFIX}").write_text(text, encoding="utf-8")


class _Maker:
    def __init__(self, found: Pages) -> None:
        self._pages = found
        self._asked = {
            name: recorder.record_reader(reader.of, reader.samples)
            for name, reader in {**readers.INTERFACES, **readers.IPAM}.items()
        }

    def plugin(self, name: str) -> Schema:
        """The document of a plugin that stands in a list."""
        made = self._plugin(name)
        properties = made["properties"]
        assert isinstance(properties, dict)
        # Such a plugin may also be all there is in a file, which then is a network.
        properties |= {key: self._list()[key] for key in ("$schema", *_LIST_ONLY)}
        used = self._allocators() if "ipam" in properties else {}
        return _document(name, f"Configuration of the CNI plugin {name}", made, used)

    def allocator(self, name: str) -> Schema:
        """The document of an IPAM plugin: of the `ipam` section."""
        made = self._allocator(name)
        title = f"The section ipam of a CNI plugin's configuration, for the IPAM plugin {name}"
        return _document(name, title, made, {})

    def conflist(self) -> Schema:
        """The document of a network's list, with all plugins' in it."""
        properties = self._list()
        properties["plugins"] = {
            "type": "array",
            "items": {"$ref": "#/$defs/plugin"},
            "description": pages.SENTENCES["plugins"],
        }
        made: Schema = {
            "type": "object",
            "properties": properties,
            "required": ["name"],
            **_others_with_a_slash(),
        }
        own = {name: self._plugin(name) for name in readers.INTERFACES}
        anybody: Schema = {
            "type": "object",
            "properties": {"type": self._type(*own)},
            "required": ["type"],
            "allOf": [_where_type_is(name) for name in own],
        }
        used = {**self._allocators(), **own, "plugin": anybody}
        return _document(schemas.CONFLIST, "A network of CNI plugins", made, used)

    def _list(self) -> dict[str, JsonValue]:
        """The keys of a list that are not a plugin's, and the one for editors."""

        def read(document: JsonObject) -> object:
            return read_network(document, b"", "it")

        asked = recorder.record_reader(read, (_NETWORK,))
        properties: dict[str, JsonValue] = {
            "$schema": {"type": "string", "description": "for editors: where this schema is"}
        }
        for key, one in asked.keys.items():
            if key not in ("plugins", "type", "capabilities"):
                made = _kind(one)
                properties[key] = {**made, "description": pages.SENTENCES[key]}
        return properties

    def _plugin(self, name: str) -> Schema:
        asked = self._asked[name]
        made = self._object(name, "", asked)
        own = made["properties"]
        assert isinstance(own, dict)
        common: dict[str, JsonValue] = {
            "type": {"const": name, "description": pages.SENTENCES["type"]},
            "name": {"type": "string", "description": pages.SENTENCES["name"]},
            "cniVersion": {"type": "string", "description": pages.SENTENCES["cniVersion"]},
            "capabilities": _capabilities(),
            "runtimeConfig": {"type": "object", "description": pages.SENTENCES["runtimeConfig"]},
            "args": {"type": "object", "description": pages.SENTENCES["args"]},
        }
        if "ipam" in own:
            words = self._pages.about(name, "ipam")
            section = "#/$defs/ipam" if name != "vxlan" else "#/$defs/ipam-of-vxlan"
            own["ipam"] = {"$ref": section, **_words(words)}
        required = ["type", *_strings(made.get("required"))]
        return {**made, "properties": {**common, **own}, "required": required}

    def _allocators(self) -> dict[str, JsonValue]:
        own: dict[str, JsonValue] = {name: self._allocator(name) for name in readers.IPAM}
        rules: list[JsonValue] = [_where_type_is(name) for name in own]
        section: Schema = {
            "type": "object",
            "properties": {"type": self._type(*own)},
            "allOf": rules,
        }
        named: list[JsonValue] = [{"maxProperties": 0}, {"required": ["type"]}]
        # vxlan has a default for the type, and its peers may say which etcd it is.
        etcd = own["etcd-ipam"]
        assert isinstance(etcd, dict)
        filled: list[JsonValue] = [_where_type_is(name) for name in own if name != "etcd-ipam"]
        return {
            **TEXTS,
            **own,
            "etcd-ipam-of-peers": {**etcd, "required": ["type"]},
            "ipam-of-vxlan": {
                **section,
                "allOf": [*filled, _where_type_is("etcd-ipam", "etcd-ipam-of-peers")],
            },
            "ipam": {**section, "anyOf": named},
        }

    def _allocator(self, name: str) -> Schema:
        made = self._object(name, "ipam", self._asked[name].keys["ipam"])
        own = made["properties"]
        assert isinstance(own, dict)
        kind: Schema = {"const": name, "description": pages.SENTENCES["type"]}
        required = ["type", *_strings(made.get("required"))]
        return {**made, "properties": {"type": kind, **own}, "required": required}

    def _type(self, *known: str) -> Schema:
        return {
            "type": "string",
            "minLength": 1,
            "description": pages.SENTENCES["type"],
            "examples": list(known),
        }

    def _object(self, plugin: str, path: str, asked: Asked) -> Schema:
        properties: dict[str, JsonValue] = {}
        required: list[JsonValue] = []
        for key, one in asked.keys.items():
            place = f"{path}.{key}".strip(".")
            if place == "ipam.type":
                continue
            words = self._pages.about(plugin, place)
            properties[key] = {**self._value(plugin, place, one), **_words(words)}
            if words.required and not (path == "ipam" and key in _OLDER_FORM):
                required.append(key)
        made: Schema = {"type": "object", "properties": properties}
        if required:
            made["required"] = required
        if path not in _FILLED_IN:
            made |= _others_with_a_slash()
        return made

    def _value(self, plugin: str, path: str, asked: Asked) -> Schema:
        if asked.names:
            return {"type": "object", "additionalProperties": {"type": "string"}}
        if asked.kind == recorder.OBJECT:
            return self._object(plugin, path, asked)
        if asked.kind == recorder.OBJECTS:
            return {"type": "array", "items": self._object(plugin, path, asked)}
        if asked.kind == recorder.OBJECT_LISTS:
            inner = self._object(plugin, path, asked)
            return {"type": "array", "items": {"type": "array", "items": inner, "minItems": 1}}
        return _kind(asked)


_OLDER_FORM = ("subnet",)
"""What is required of a range, and not of a section that may be one."""


def _kind(asked: Asked) -> Schema:
    if asked.kind == recorder.STRING and asked.choices:
        # An empty one means the default, as in the reference.
        return {"type": "string", "enum": [*sorted(filter(None, asked.choices)), ""]}
    if asked.kind == recorder.INTEGER:
        return {"type": "integer", "minimum": asked.low, "maximum": asked.high}
    if asked.kind in TEXTS:
        return {"$ref": f"#/$defs/{asked.kind}"}
    simple: dict[str, Schema] = {
        recorder.STRING: {"type": "string"},
        recorder.BOOLEAN: {"type": "boolean"},
        recorder.FLAG: {
            "anyOf": [{"type": "boolean"}, {"type": "string", "pattern": _TRUE_OR_FALSE}]
        },
        recorder.STRINGS: {"type": "array", "items": {"type": "string"}},
        recorder.LIST: {"type": "array"},
    }
    return simple[asked.kind]


_TRUE_OR_FALSE = "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"


def _words(words: pages.Words) -> Schema:
    made: Schema = {"description": words.meaning}
    default = words.default_value()
    if default is not None:
        made["default"] = default
    examples = words.examples()
    if examples:
        made["examples"] = examples
    return made


def _capabilities() -> Schema:
    return {
        "type": "object",
        "properties": {name: {"type": "boolean"} for name in CAPABILITIES},
        "additionalProperties": {"type": "boolean"},
        "description": pages.SENTENCES["capabilities"],
    }


def _others_with_a_slash() -> Schema:
    """Plugins pass over keys that they do not know, of which most are mistakes.

    Keys with a slash are others' on purpose, such as `cni.dev/valid-attachments`.
    """
    return {"patternProperties": {"/": {}}, "additionalProperties": False}


def _where_type_is(name: str, definition: str = "") -> Schema:
    return {
        "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
        "then": {"$ref": f"#/$defs/{definition or name}"},
    }


def _strings(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _document(name: str, title: str, made: Schema, used: dict[str, JsonValue]) -> Schema:
    everything = {**TEXTS, **used}
    wanted: dict[str, JsonValue] = {}
    ahead = list(_references(made))
    while ahead:
        key = ahead.pop()
        if key not in wanted:
            wanted[key] = everything[key]
            ahead += _references(everything[key])
    wanted = dict(sorted(wanted.items()))
    document: Schema = {
        "$schema": DIALECT,
        "$id": f"urn:pycni:schema:{name}",
        "title": title,
        **made,
    }
    return {**document, "$defs": wanted} if wanted else document


def _references(value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner.removeprefix("#/$defs/")
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def main() -> None:
    """Write all of them beside this file."""
    try:
        write(Path(schemas.DIRECTORY))
    except (CniError, LookupError) as error:
        raise SystemExit(f"schemas: {error}") from error


if __name__ == "__main__":
    main()
