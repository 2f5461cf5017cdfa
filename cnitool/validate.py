"""`cnitool validate`: everything that is wrong with a network's configuration, at once.

ADD stops at the first mistake and passes over a misspelt key. This looks for them all, on the file
as written: keys and their types by the published schemas, what does not fit each other by the
plugins' own readers, the order of plugins, the addresses, the executables.
"""

from __future__ import annotations

import os
import sys

from cni.errors import CniError
from cni.execute import find
from cni.jsonvalue import JsonObject, parse_object
from cni_vxlan.peers import default_mode
from cnitool import known, schemas
from cnitool.addresses import check_ranges
from cnitool.schema import Finding, check
from cnitool.schemas import readers
from libcni.conf import conf_files, network_from_file, read_file
from libcni.confdir import NetworkNotFoundError, find_file, network_files, stated_name
from libcni.gojson import compact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.jsonvalue import JsonValue
    from cnitool.schemas import Schema
    from cnitool.settings import Settings
    from libcni.conf import NetworkConfigList


def run(settings: Settings, network: str) -> int:
    """Print what is wrong with a network, by name or file; 1 if any of it is an error."""
    if "/" in network:
        path = network
    else:
        try:
            path = find_file(settings.conf_dir, network)
        except NetworkNotFoundError as error:
            raise settings.explained(network, error) from None
    findings = list(validate(settings, path))
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    errors = sum(finding.fatal for finding in findings)
    warnings = len(findings) - errors
    verdict = (
        f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}"
        if findings
        else "no problems"
    )
    sys.stdout.write(f"{path}: {verdict}\n")
    return 1 if errors else 0


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def validate(settings: Settings, path: str) -> Iterator[Finding]:
    """Everything that is wrong with the network in a file and in the folder beside it.

    Raises CniError for a file that is no JSON object.
    """
    document = parse_object(read_file(path), path)
    plugins: list[JsonObject] = []
    fatal = False
    for finding in _static(settings, path, document, plugins):
        fatal = fatal or finding.fatal
        yield finding
    network = None
    try:
        network = network_from_file(path)
    except CniError as error:
        if not fatal:  # what it says has been said otherwise
            yield Finding("", str(error))
    yield from _executables(settings, network, plugins)


def _static(
    settings: Settings, path: str, document: JsonObject, plugins: list[JsonObject]
) -> Iterator[Finding]:
    """What can be seen without running anything. plugins: is filled."""
    schema = schemas.load(schemas.CONFLIST)
    single = "plugins" not in document.raw and document.has("type")
    if single:
        plugins.append(document)
    else:
        yield from check(document.raw, {**schema, "additionalProperties": False}, "")
        plugins += _inlined(document)
        try:
            plugins += _from_folder(path, document)
        except CniError as error:
            yield Finding("", str(error))
    if not document.get("cniVersion") and not document.get("cniVersions"):
        text = "it is missing, which means 0.1.0: no lists, no CHECK, no GC"
        yield Finding("cniVersion", text, fatal=False)
    for index, plugin in enumerate(plugins):
        yield from _plugin(plugin, schema, first=index == 0)
    yield from _same_name(settings, path)


def _inlined(document: JsonObject) -> list[JsonObject]:
    listed = document.get("plugins")
    return [
        JsonObject(item, f"plugins[{index}]")
        for index, item in enumerate(listed if isinstance(listed, list) else ())
        if isinstance(item, dict)
    ]


def _from_folder(path: str, document: JsonObject) -> list[JsonObject]:
    """The plugins of the folder beside the list. Raises CniError for what is no JSON object."""
    name = stated_name(path)
    only_inlined = document.get("loadOnlyInlinedPlugins")
    if not name or "/" in name or str(only_inlined).lower() == "true":
        return []
    found: list[JsonObject] = []
    for file in conf_files(os.path.join(os.path.dirname(path), name), (".conf",)):
        plugin = parse_object(read_file(file), file)
        found.append(JsonObject(plugin.raw, os.path.join(name, os.path.basename(file))))
    return found


def _plugin(plugin: JsonObject, schema: Schema, *, first: bool) -> Iterator[Finding]:
    kind = plugin.get("type")
    if not isinstance(kind, str) or not kind:
        yield Finding(plugin.place("type"), "it is missing, expected the plugin's executable")
        kind = ""
    found = list(check(plugin.raw, _schema_of(plugin, kind, schema), plugin.where))
    yield from found
    ipam = plugin.get("ipam")
    if kind in readers.INTERFACES and not found and isinstance(ipam, (dict, type(None))):
        yield from _read(readers.INTERFACES[kind], plugin)
    if plugin.has("prevResult"):
        text = "a plugin gets the result of the one before it; this one is never sent"
        yield Finding(plugin.place("prevResult"), text, fatal=False)
    if kind in known.CHAINED and first:
        text = f"{kind} changes what another plugin has made, but is the first: put one before it"
        yield Finding(plugin.place("type"), text)
    yield from _capability(plugin, kind)
    yield from _ipam(plugin, kind, schema)


def _schema_of(plugin: JsonObject, kind: str, schema: Schema) -> Schema:
    """The schema of a plugin; of one that is not ours what all have in common."""
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    own = definitions.get(kind if kind in readers.INTERFACES else _ANY)
    assert isinstance(own, dict)
    properties = own["properties"]
    assert isinstance(properties, dict)
    if kind not in readers.INTERFACES:
        own = {"type": "object", "additionalProperties": {}}
        properties = {key: properties[key] for key in ("type", "name", "cniVersion", *_COMMON)}
    # What is passed over without a word, or with one of its own below.
    properties = {**properties, "prevResult": {}, "ipam": {}, "cniVersions": {}}
    if not plugin.where:  # a network in one object
        listed = schema["properties"]
        assert isinstance(listed, dict)
        properties = {**listed, **properties}
    return {**own, "properties": properties}


_ANY = "loopback"
"""A plugin without a key of its own."""
_COMMON = ("capabilities", "args", "runtimeConfig")


def _read(reader: readers.Reader, plugin: JsonObject) -> Iterator[Finding]:
    """What no schema shows: keys that do not fit each other, as the plugin reads them."""
    config = plugin
    if not plugin.has("runtimeConfig"):
        config = plugin.replaced(
            "runtimeConfig",
            {key: value for key, value in _LIKELY.items() if _declares(plugin, key)},
        )
    try:
        sent = parse_object(compact(config.raw), "the config")  # 1500.0 arrives as 1500
        reader.of(JsonObject(sent.raw, config.where))
    except CniError as error:
        yield Finding("", error.msg)


_LIKELY: dict[str, JsonValue] = {
    "deviceID": "0000:00:00.0",
    "ipRanges": [[{"subnet": "192.0.2.0/24"}]],
}
"""What a runtime may send in place of what a config then need not say."""


def _declares(plugin: JsonObject, capability: str) -> bool:
    declared = plugin.get("capabilities")
    # Runtimes look for the very word, in whatever case a plugin's own keys may be.
    return isinstance(declared, dict) and declared.get(capability) is True


def _gets_its_ranges(plugin: JsonObject) -> bool:
    """Whether the IPAM plugin's ranges are filled in: a host's subnets of a routed overlay."""
    section = plugin.get("peers")
    engine = str(section.get("type", "")) if isinstance(section, dict) else ""
    mode = plugin.get("mode") or default_mode(engine)
    return plugin.get("type") == "vxlan" and mode != "l2"


def _capability(plugin: JsonObject, kind: str) -> Iterator[Finding]:
    needed = known.NEEDS_CAPABILITY.get(kind)
    if needed is None or _declares(plugin, needed):
        return
    if any(plugin.has(key) for key in ("runtimeConfig", "ingressRate", "egressRate")):
        return
    text = f'"{needed}" is not true: the runtime will not tell {kind} what to do'
    yield Finding(plugin.place("capabilities"), text, fatal=False)


def _ipam(plugin: JsonObject, kind: str, schema: Schema) -> Iterator[Finding]:
    value = plugin.get("ipam")
    place = plugin.place("ipam")
    if value is None or value == {}:
        if kind == "bridge" and plugin.get("isGateway") is True:
            yield Finding(place, "it is missing, but isGateway needs addresses")
        return
    if not isinstance(value, dict):
        yield from check(value, {"type": "object"}, place)
        return
    ipam = JsonObject(value, place)
    if kind in known.CHAINED or kind == "loopback":
        yield Finding(place, f"{kind} allocates no addresses and ignores it", fatal=False)
    allocator = ipam.get("type")
    if allocator is None and _gets_its_ranges(plugin):
        allocator = "host-local"
    if not isinstance(allocator, str) or not allocator:
        yield Finding(ipam.place("type"), 'it is missing, expected such as "host-local"')
        return
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    reader = readers.IPAM.get(allocator)
    own = definitions[allocator] if reader is not None else None
    found = list(check(value, own, place)) if isinstance(own, dict) else []
    given = _gets_its_ranges(plugin) or (kind == "vxlan" and allocator == "etcd-ipam")
    says = any(map(ipam.has, ("ranges", "subnet"))) or not _declares(plugin, "ipRanges")
    if allocator in known.RANGES and says and not _gets_its_ranges(plugin):
        found += check_ranges(ipam)
    yield from found
    if reader is not None and not found and not given:
        yield from _read(reader, plugin)


def _same_name(settings: Settings, path: str) -> Iterator[Finding]:
    """Two files for one network: the second is never read."""
    name = stated_name(path)
    directory = os.path.dirname(path) or "."
    if not name or not os.path.isdir(settings.conf_dir):
        return
    if not os.path.samefile(directory, settings.conf_dir):
        return
    others = [
        other
        for other in network_files(settings.conf_dir)
        if os.path.basename(other) != os.path.basename(path) and stated_name(other) == name
    ]
    if others:
        text = f'"{name}" is also the name in {", ".join(others)}; only the first file counts'
        yield Finding("name", text)


def _executables(
    settings: Settings, network: NetworkConfigList | None, plugins: list[JsonObject]
) -> Iterator[Finding]:
    """Every executable that is missing, or does not speak the network's version."""
    runtime = settings.runtime()
    seen: set[str] = set()
    for place, kind in _types(plugins):
        if kind in seen:
            continue
        seen.add(kind)
        try:
            find(kind, settings.path)
            supported = runtime.versions(kind)
        except CniError as error:
            yield Finding(place, str(error))
            continue
        if network is not None and network.version not in supported:
            text = f"{kind} does not support cniVersion {network.version}: it supports "
            yield Finding(place, text + ", ".join(supported))


def _types(plugins: list[JsonObject]) -> Iterator[tuple[str, str]]:
    for plugin in plugins:
        for item in (plugin, _object(plugin, "ipam")):
            kind = item.get("type")
            if isinstance(kind, str) and kind:
                yield item.place("type"), kind


def _object(item: JsonObject, key: str) -> JsonObject:
    value = item.get(key)
    return JsonObject(value if isinstance(value, dict) else {}, item.place(key))
