"""What the plugins' pages say about each key: their tables, as data.

A page, `plugins/<plugin>/README.md`, has tables whose first column is `key`. The first is of the
plugin's own keys; which objects further ones are of is said here. A key may also stand on another
plugin's page, or in `SENTENCES` where no table has a row for it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cni.jsonvalue import JsonValue

TABLES: Mapping[str, tuple[str, ...]] = {
    "dhcp": ("ipam", "ipam.provide", "ipam.request"),
    "etcd-ipam": ("ipam", "ipam"),
    "host-local": ("ipam", "ipam.ranges", "ipam.routes"),
    "static": ("ipam", "ipam.addresses"),
    "vxlan": ("", "peers", ""),
}
"""The objects that a page's tables are of, where that is not the plugin's own alone."""

SENTENCES: Mapping[str, str] = {
    "args": "arguments in the form of CNI's CONVENTIONS.md; who runs the container fills them in",
    "args.cni": "what several plugins understand",
    "args.cni.ips": "addresses that the container wants",
    "args.cni.mac": "the hardware address that the container wants",
    "args.cni.sysctl": "sysctls over and beside those of `sysctl`",
    "capabilities": "what the runtime may send to the plugin in `runtimeConfig`, each with `true`",
    "cniVersion": "the version of the CNI specification; a network's goes before a plugin's",
    "cniVersions": "the versions that this network may be used with; the newest known counts",
    "disableCheck": "whether CHECK does nothing, for containers that change what ADD made",
    "disableGC": "whether GC does nothing, for networks that several runtimes use",
    "dns.domain": "the local domain, for names without a dot",
    "dns.nameservers": "addresses of name servers, the first one first",
    "dns.options": "options of the resolver, as in resolv.conf(5)",
    "dns.search": "domains that names without a dot are looked for in",
    "ipam.dns.domain": "the local domain, for names without a dot",
    "ipam.dns.nameservers": "addresses of name servers, the first one first",
    "ipam.dns.options": "options of the resolver, as in resolv.conf(5)",
    "ipam.dns.search": "domains that names without a dot are looked for in",
    "loadOnlyInlinedPlugins": "whether the folder beside the file, which has the network's name, "
    "is left alone",
    "name": "the network's name: letters, digits and `_.-`, on a host each once",
    "peers.nodes.address": "the address of the host's tunnel end (VTEP)",
    "peers.nodes.subnets": "the host's subnets in mode `l3`, at most one of each family",
    "peers.subnetLength.4": "the prefix length of a host's IPv4 subnet",
    "peers.subnetLength.6": "the prefix length of a host's IPv6 subnet",
    "plugins": "what ADD calls, one after the other",
    "runtimeConfig": "what the runtime asks for, by the capabilities that the plugin declares; "
    "the runtime fills it in",
    "runtimeConfig.bandwidth": "limits (capability `bandwidth`)",
    "runtimeConfig.ipRanges": "range sets before all others (capability `ipRanges`)",
    "runtimeConfig.ips": "addresses that the container wants (capability `ips`)",
    "runtimeConfig.mac": "the hardware address that the container wants (capability `mac`)",
    "type": "the plugin: the name of its executable",
    "vlanTrunk.id": "one VLAN",
    "vlanTrunk.maxID": "the last of several VLANs",
    "vlanTrunk.minID": "the first of several VLANs",
}
"""Keys without a row of their own."""

_ELSEWHERE: tuple[tuple[str, str, str], ...] = (
    ("args.cni.", "", ""),
    ("runtimeConfig.bandwidth.", "", ""),
    ("runtimeConfig.ipRanges.", "host-local", "ipam.ranges."),
    ("ipam.ranges.", "host-local", "ipam.ranges."),
    ("ipam.routes.", "host-local", "ipam.routes."),
    ("ipam.", "host-local", "ipam.ranges."),  # the older form: a range in `ipam` itself
    ("peers.", "etcd-ipam", "ipam."),
    ("", "bridge", ""),
)
"""Beginning of a key's path, and whose page has it under which other beginning."""

_NAMES = re.compile(r"`([A-Za-z0-9.]+)`")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_POINTERS = re.compile(
    r"[,:;]? see (below|above|\[[^)]+\))| \(below\)|(?<=names) below|, see .*page"
)


@record
class Words:
    """A row of a table. kind, default, meaning: as text; empty where the row says nothing.

    default: JSON as far as `default_value` can tell. example: of JSON values, perhaps several.
    """

    kind: str = ""
    default: str = ""
    meaning: str = ""
    example: str = ""

    @property
    def required(self) -> bool:
        """Whether the key has to be there, whatever the others say."""
        return self.default == "required" or self.kind.endswith(", required")

    def default_value(self) -> JsonValue:
        """The default, None where the page does not tell it as JSON, or it depends on others."""
        return None if "<" in self.default else _value(self.default.strip("`"))

    def examples(self) -> list[JsonValue]:
        """Values that the page shows."""
        found = [_value(text) for text in re.findall(r"`([^`]+)`", self.example)]
        return [value for value in found if value is not None]


def _value(text: str) -> JsonValue:
    try:
        found: JsonValue = json.loads(text)
    except ValueError:
        return None
    return found


class Pages:
    """The pages of all plugins. root: of the source tree."""

    def __init__(self, root: Path) -> None:
        self._rows = {
            page.parent.name: dict(_read(page)) for page in (root / "plugins").glob("*/README.md")
        }

    def documented(self, plugin: str) -> set[str]:
        """The paths of all keys in the page's tables."""
        return set(self._rows[plugin])

    def about(self, plugin: str, path: str) -> Words:
        """What is said about a key. Raises LookupError where nothing is."""
        own = self._rows[plugin].get(path, Words())
        if own.meaning and own.kind:  # else the row only points to where more is said
            return own
        found = self._elsewhere(plugin, path)
        if found is None and path in SENTENCES:
            found = Words(meaning=SENTENCES[path])
        if found is None:
            raise LookupError(f"plugins/{plugin}/README.md says nothing about {path}")
        return Words(
            own.kind or found.kind,
            own.default or found.default,
            found.meaning,
            found.example or own.example,
        )

    def _elsewhere(self, plugin: str, path: str) -> Words | None:
        for beginning, other, instead in _ELSEWHERE:
            if path.startswith(beginning):
                there = instead + path.removeprefix(beginning)
                found = self._rows[other or plugin].get(there)
                if found is not None and found.meaning:
                    return found
        return None


def _read(page: Path) -> Iterator[tuple[str, Words]]:
    """(path, words) of every key in the page's tables."""
    owners = iter(TABLES.get(page.parent.name, ("",)))
    for block in page.read_text(encoding="utf-8").split("\n\n"):
        lines = block.strip().splitlines()
        if not lines or not re.match(r"\| key \|.*\| meaning \|", lines[0]):
            continue
        columns = _cells(lines[0])
        owner = next(owners)
        last = ""
        for line in lines[2:]:
            row = dict(zip(columns, _cells(line), strict=True))
            words = Words(
                row["type"], row.get("default", ""), _plain(row["meaning"]), row["example"]
            )
            for name in _NAMES.findall(row["key"]):
                path = f"{last}{name}" if name[0] == "." else f"{owner}.{name}".strip(".")
                last = last if name[0] == "." else path
                yield path, words


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _plain(text: str) -> str:
    """A sentence without links, and without pointing to what is not there in an editor."""
    return _LINK.sub(r"\1", _POINTERS.sub("", text)).strip()
