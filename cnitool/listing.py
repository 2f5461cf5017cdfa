"""`cnitool list`: the networks there are, and what the cache says is attached to them."""

from __future__ import annotations

import os

from cnitool import show
from libcni.confdir import load_networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cni.jsonvalue import JsonValue
    from cnitool.settings import Settings
    from cnitool.show import Screen
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
            "networks": [network_document(one) for one in networks],
            "attachments": [_attachment(one) for one in entries],
            "problems": [str(problem) for problem in problems],
        }
        show.document(document)
    else:
        _show(settings, networks, entries)
        show.problems(problems)
    return 0


def network_document(network: NetworkConfigList) -> dict[str, JsonValue]:
    """A network as JSON."""
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
        "since": show.stamp(entry.since),
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
    screen = show.Screen()
    show_networks(screen, settings, networks)
    if entries:
        screen.table(
            f"Attachments in {settings.cache_dir}",
            ("NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "SINCE", "NAMESPACE"),
            [
                (
                    one.network,
                    one.container_id,
                    one.ifname,
                    ", ".join(_addresses(one)) or show.NOTHING,
                    show.moment(one.since),
                    (one.netns or show.NOTHING)
                    + ("" if _exists(one) or not one.netns else " (gone)"),
                )
                for one in entries
            ],
        )
    else:
        screen.line(f"No attachments in {settings.cache_dir}")


def show_networks(
    screen: Screen, settings: Settings, networks: Sequence[NetworkConfigList]
) -> None:
    """The table of networks."""
    if not networks:
        screen.line(f"No networks in {settings.conf_dir}")
        return
    screen.table(
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
