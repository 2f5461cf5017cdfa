"""`cnitool networks`, `attachments` and `ports`: one line each."""

from __future__ import annotations

from cni.call import Attachment as AttachmentKey
from cnitool import listing, show
from cnitool.inspect import port_document
from cnitool.state import world
from libcni.confdir import load_networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from cni.jsonvalue import JsonValue
    from cnitool.settings import Settings
    from cnitool.state.model import Attachment, Mapping
    from cnitool.state.world import World


_COLUMNS = ("NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "HOST", "PORTS", "SINCE", "STATE")


def networks(settings: Settings, *, as_json: bool) -> int:
    """The networks of the configuration's directory. Raises CniError."""
    found, problems = load_networks(settings.conf_dir)
    if as_json:
        show.document([listing.network_document(one) for one in found])
    else:
        listing.show_networks(show.Screen(), settings, found)
    show.problems(problems)
    return 1 if problems else 0


def attachments(settings: Settings, network: str, *, as_json: bool) -> int:
    """Every attachment that cache, IPAM files or kernel know of."""
    seen = world.read(settings)
    found = [one for one in seen.attachments if network in ("", one.network)]
    if as_json:
        show.document([_attachment(seen, one) for one in found])
    elif not found:
        show.Screen().line("No attachments")
    else:
        show.Screen().table(
            "",
            _COLUMNS,
            [_row(seen, one) for one in found],
        )
    show.problems(seen.problems)
    return 0


def collected(settings: Settings, network: str, valid: Collection[AttachmentKey]) -> int:
    """What a GC of the network would remove; plugins of other suites may find more."""
    seen = world.read(settings)
    found = [
        one
        for one in seen.attachments
        if one.network == network and AttachmentKey(one.container_id, one.ifname) not in valid
    ]
    screen = show.Screen()
    if not found:
        screen.line(f'GC of network "{network}" would remove nothing that is known of')
    else:
        screen.table(
            f'GC of network "{network}" would remove', _COLUMNS, [_row(seen, one) for one in found]
        )
    show.problems(seen.problems)
    return 0


def _row(seen: World, one: Attachment) -> tuple[str, ...]:
    end = one.host_end
    host = show.NOTHING
    if end is not None:
        host = f"{end.name}@{end.master}" if end.master else end.name
    return (
        one.network,
        one.pod or one.container_id,
        one.ifname or show.NOTHING,
        ", ".join(map(str, one.addresses)) or show.NOTHING,
        host,
        ", ".join(f"{each.host_port}/{each.protocol}" for each in one.mappings) or show.NOTHING,
        show.moment(one.since),
        one.state(seen.conflicts(one)),
    )


def _attachment(seen: World, one: Attachment) -> dict[str, JsonValue]:
    return {
        "network": one.network,
        "containerID": one.container_id,
        "ifname": one.ifname,
        "pod": one.pod or None,
        "addresses": [str(each) for each in one.addresses],
        "hostInterface": None if one.host_end is None else one.host_end.name,
        "bridge": None if one.host_end is None else one.host_end.master or None,
        "ports": [port_document(each) for each in one.mappings],
        "since": show.stamp(one.since),
        "state": one.state(seen.conflicts(one)),
    }


def ports(settings: Settings, *, as_json: bool) -> int:
    """Every published port, and whose it is."""
    seen = world.read(settings)
    owned = [(each, one) for one in seen.attachments for each in one.mappings]
    known = {each for each, _ in owned}
    found: list[tuple[Mapping, Attachment | None]] = [
        *owned,
        *((each, None) for each in seen.strange_mappings if each not in known),
    ]
    found.sort(key=lambda pair: (pair[0].host_port, pair[0].protocol, str(pair[0].host)))
    if as_json:
        show.document([_port(each, one) for each, one in found])
    elif not found:
        show.Screen().line("No published ports")
    else:
        show.Screen().table(
            "",
            ("HOST", "PROTOCOL", "LEADS TO", "CONTAINER", "NETWORK", "STATE", "BACKEND"),
            [_port_row(each, one) for each, one in found],
        )
    show.problems(seen.problems)
    return 0


def _port_row(each: Mapping, one: Attachment | None) -> tuple[str, ...]:
    container = "? (another suite's)" if one is None else one.pod or one.container_id
    return (
        each.at_host,
        each.protocol,
        each.at_container,
        container,
        show.NOTHING if one is None else one.network,
        each.state,
        each.backend,
    )


def _port(each: Mapping, one: Attachment | None) -> dict[str, JsonValue]:
    owner: dict[str, JsonValue] = {
        "network": None if one is None else one.network,
        "containerID": None if one is None else one.container_id,
        "ifname": None if one is None else one.ifname,
    }
    return {**port_document(each), **owner}
