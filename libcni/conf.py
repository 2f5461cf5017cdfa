"""Network configurations: read, checked, and as values (SPEC.md, section 1).

A network is a list of plugin configurations. It comes from a `.conflist` file, from the folder of
single-plugin files that a list may have beside it (`<name>/*.conf`), or from an old single-plugin
file, which becomes a list of one. Errors are `CniError`s that name the file, the plugin and the
key.
"""

from __future__ import annotations

import os

from cni.errors import INVALID_CONFIG, CniError
from cni.jsonvalue import JsonObject, parse_object
from cni.names import name_problem
from cni.record import record, replace
from cni.versions import CURRENT, SPEC_VERSIONS, UNSTATED, require_supported
from libcni.errors import within
from libcni.gojson import compact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

UNNAMED = "the network configuration"


@record
class PluginConf:
    """One plugin of a network.

    type: the name of its executable. config: its object, as written. capabilities: those it
    declares as true. where: its file and place, for messages.
    """

    type: str
    config: JsonObject
    capabilities: frozenset[str]
    where: str

    @property
    def ipam(self) -> JsonObject:
        """Its section `ipam`; an empty one where it has none, or what is there is no object."""
        section = self.config.get("ipam")
        place = self.config.place("ipam")
        return JsonObject(section if isinstance(section, dict) else {}, place)


@record
class NetworkConfigList:
    """A network: what ADD, CHECK, DEL, GC and STATUS work on.

    version: the newest of its versions that pycni speaks. plugins: at least one, in the order of
    ADD. disable_check, disable_gc: CHECK and GC do nothing. data: the JSON document as it was
    read, with the folder's plugins added if there were some. source: the file, for messages.
    """

    name: str
    version: str
    plugins: tuple[PluginConf, ...]
    disable_check: bool
    disable_gc: bool
    load_only_inlined_plugins: bool
    data: bytes
    source: str

    @property
    def capabilities(self) -> frozenset[str]:
        """What the runtime may pass as capability arguments: what any of the plugins takes."""
        return frozenset().union(*(plugin.capabilities for plugin in self.plugins))

    @property
    def executables(self) -> frozenset[str]:
        """The names of all that it takes: its plugins, and those that these delegate IPAM to."""
        asked = (plugin.ipam.get("type") for plugin in self.plugins)
        delegates = {name for name in asked if isinstance(name, str) and name}
        return frozenset(delegates.union(plugin.type for plugin in self.plugins))


def network_from_bytes(data: bytes, source: str = UNNAMED) -> NetworkConfigList:
    """A network from a JSON document, either a list or a single plugin's configuration.

    source: names the document in messages. Raises CniError: DECODE_FAILURE for what is no JSON
    object, INVALID_CONFIG for a wrong key, INCOMPATIBLE_VERSION where no version is known.
    """
    document = parse_object(data, source)
    try:
        network = read_network(document, data, source)
    except CniError as error:
        raise within(source, error) from None
    return _with_plugins(network, ())


def network_from_file(path: str) -> NetworkConfigList:
    """A network from a file, with the plugins of the folder beside it that has its name.

    A list with `loadOnlyInlinedPlugins` and a single plugin's file have no such folder.
    Raises what `network_from_bytes` raises, and INVALID_CONFIG for a file that cannot be read.
    """
    data = read_file(path)
    document = parse_object(data, path)
    try:
        network = read_network(document, data, path)
    except CniError as error:
        raise within(path, error) from None
    if network.load_only_inlined_plugins or _is_single(document):
        return _with_plugins(network, ())
    return _with_plugins(network, _from_folder(os.path.dirname(path), network.name))


def plugin_from_file(path: str) -> PluginConf:
    """A plugin of a network's folder. Raises CniError."""
    document = parse_object(read_file(path), path)
    try:
        return _plugin(document, path)
    except CniError as error:
        raise within(path, error) from None


def read_file(path: str) -> bytes:
    """A configuration file's bytes. Raises CniError(INVALID_CONFIG)."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise CniError(INVALID_CONFIG, f"{path} cannot be read: {reason}") from error


def _is_single(document: JsonObject) -> bool:
    return "plugins" not in document.raw and document.has("type")


def read_network(document: JsonObject, data: bytes, source: str) -> NetworkConfigList:
    """The network that a document says, without its folder's plugins, so perhaps without any.

    data: the document as it was read. Raises CniError.
    """
    name = document.string("name")
    problem = name_problem(name)
    if problem:
        raise CniError(INVALID_CONFIG, f'key "name" (the network\'s): {problem}')
    version = choose_version(document)
    inlined = document.flag("loadOnlyInlinedPlugins")
    if _is_single(document):
        plugins: tuple[PluginConf, ...] = (_plugin(document, source),)
        upgraded: dict[str, JsonValue] = {
            "cniVersion": version,
            "name": name,
            "plugins": [document.raw],
        }
        data = compact(upgraded)
    else:
        plugins = _inlined(document, source)
    return NetworkConfigList(
        name=name,
        version=version,
        plugins=plugins,
        disable_check=document.flag("disableCheck"),
        disable_gc=document.flag("disableGC"),
        load_only_inlined_plugins=inlined,
        data=data,
        source=source,
    )


def _inlined(document: JsonObject, source: str) -> tuple[PluginConf, ...]:
    if "plugins" in document.raw and not document.items("plugins"):
        raise document.wrong("plugins", "a list of at least one plugin configuration")
    return tuple(_plugin(item, source) for item in document.objects("plugins"))


def _plugin(config: JsonObject, source: str) -> PluginConf:
    kind = config.required_string("type")
    problem = name_problem(kind)
    if problem:
        raise CniError(INVALID_CONFIG, f'key "{config.place("type")}": {problem}')
    try:
        declared = config.object("capabilities")
        capabilities = frozenset(key for key in declared.raw if declared.boolean(key))
        compact(config.raw)  # proves that it can be sent
    except CniError as error:
        raise within(f'plugin "{kind}"', error) from None
    return PluginConf(kind, config, capabilities, f"{source}: {config.where}".rstrip(": "))


def _from_folder(directory: str, name: str) -> tuple[PluginConf, ...]:
    folder = os.path.join(directory, name)
    return tuple(plugin_from_file(path) for path in conf_files(folder, (".conf",)))


def _with_plugins(network: NetworkConfigList, more: tuple[PluginConf, ...]) -> NetworkConfigList:
    plugins = network.plugins + more
    if not plugins:
        raise CniError(
            INVALID_CONFIG,
            f'{network.source}: no plugin configs found: "plugins" is missing, and there is no '
            f"folder {network.name}/ beside the file that holds any",
        )
    if not more:
        return network
    whole = dict(parse_object(network.data, network.source).raw)
    whole["plugins"] = [plugin.config.raw for plugin in plugins]
    # What the cache keeps must be the network by itself: a folder may have changed by the DEL.
    whole["loadOnlyInlinedPlugins"] = True
    return replace(network, plugins=plugins, data=compact(whole))


def choose_version(document: JsonObject) -> str:
    """The newest of `cniVersions` and `cniVersion` that pycni speaks (SPEC.md, section 1).

    Raises CniError: INVALID_CONFIG for what is no version, INCOMPATIBLE_VERSION where none fits.
    """
    stated = document.string("cniVersion")
    offered = document.strings("cniVersions")
    for index, version in enumerate(offered):
        if not _is_version(version):
            place = f'key "{document.place("cniVersions")}[{index}]"'
            raise CniError(
                INVALID_CONFIG, f'{place}: found "{version[:40]}", expected one such as "{CURRENT}"'
            )
    known = [version for version in SPEC_VERSIONS if version in offered or version == stated]
    if offered and known:
        return known[-1]
    version = stated or (offered[-1] if offered else UNSTATED)
    require_supported(version)
    return version


def _is_version(text: str) -> bool:
    parts = text.split(".")
    return len(parts) <= 3 and all(part.isascii() and part.isdecimal() for part in parts)


def conf_files(directory: str, extensions: tuple[str, ...]) -> list[str]:
    """The paths of a directory's files with one of these extensions (".conflist"), sorted.

    A directory that does not exist holds none. Raises CniError(INVALID_CONFIG) for one that cannot
    be read.
    """
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CniError(INVALID_CONFIG, f"{directory} cannot be read: {error.strerror}") from error
    found = [name for name in names if os.path.splitext(name)[1] in extensions]
    return [os.path.join(directory, name) for name in sorted(found)]
