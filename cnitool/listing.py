"""`cnitool list`: the networks there are, and what the cache says is attached to them."""

from __future__ import annotations

import json
import os
import sys
import time

from libcni.confdir import load_networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.errors import CniError
    from cni.jsonvalue import JsonValue
    from cnitool.settings import Settings
    from libcni.cache import CachedAttachment
    from libcni.conf import NetworkConfigList


def run(settings: Settings, network: str, *, as_json: bool) -> int:
    """Show all of it or one network's, for people or for programs."""
    networks, problems = load_networks(settings.conf_dir)
    entries, damaged = settings.runtime().cache.scan()
    problems += damaged
    if network:
        networks = [one for one in networks if one.name == network]
        entries = [one for one in entries if one.network == network]
    if as_json:
        document: JsonValue = {
            "networks": [_network(one) for one in networks],
            "attachments": [_attachment(one) for one in entries],
            "problems": [str(problem) for problem in problems],
        }
        sys.stdout.write(json.dumps(document, indent=4) + "\n")
    else:
        _show(settings, networks, entries)
        _show_problems(problems)
    return 0


def _network(network: NetworkConfigList) -> dict[str, JsonValue]:
    return {
        "name": network.name,
        "cniVersion": network.version,
        "plugins": [plugin.type for plugin in network.plugins],
        "capabilities": [*sorted(network.capabilities)],
        "file": network.source,
    }


def _attachment(entry: CachedAttachment) -> dict[str, JsonValue]:
    return {
        "network": entry.network,
        "containerID": entry.container_id,
        "ifname": entry.ifname,
        "addresses": list(_addresses(entry)),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.since)),
        "netns": entry.netns,
        "netnsExists": _exists(entry),
        "file": entry.path,
    }


def _addresses(entry: CachedAttachment) -> list[str]:
    return [] if entry.result is None else [str(one.address) for one in entry.result.ips]


def _exists(entry: CachedAttachment) -> bool:
    return bool(entry.netns) and os.path.exists(entry.netns)


def _show(
    settings: Settings, networks: list[NetworkConfigList], entries: list[CachedAttachment]
) -> None:
    # Half of the start-up time of everything else here, so only where a person looks.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A pipe has no width to fit in, and whoever reads it wants whole names.
    console = Console(width=None if sys.stdout.isatty() else 500, highlight=False)

    def table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            made.add_column(column, overflow="fold")
        for row in rows:
            made.add_row(*map(Text, row))
        console.print(made)

    if networks:
        table(
            f"Networks in {settings.conf_dir}",
            ("NAME", "CNI", "PLUGINS", "FILE"),
            [
                (
                    one.name,
                    one.version,
                    " > ".join(plugin.type for plugin in one.plugins),
                    os.path.basename(one.source),
                )
                for one in networks
            ],
        )
    else:
        console.print(Text(f"No networks in {settings.conf_dir}"))
    if entries:
        table(
            f"Attachments in {settings.cache_dir}",
            ("NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "SINCE", "NAMESPACE"),
            [
                (
                    one.network,
                    one.container_id,
                    one.ifname,
                    ", ".join(_addresses(one)) or "-",
                    time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.since)),
                    (one.netns or "-") + ("" if _exists(one) or not one.netns else " (gone)"),
                )
                for one in entries
            ],
        )
    else:
        console.print(Text(f"No attachments in {settings.cache_dir}"))


def _show_problems(problems: list[CniError]) -> None:
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
