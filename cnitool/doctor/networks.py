"""The networks themselves: their files, their STATUS, their ranges, and what the dead hold."""

from __future__ import annotations

from cni.errors import CniError
from cni.versions import FIRST_WITH, at_least
from cnitool import ipam
from cnitool.doctor.model import ERROR, OK, WARNING, Finding
from cnitool.validate import validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnitool.doctor.model import Host
    from libcni import NetworkConfigList

_FULL = 0.9


def configurations(host: Host) -> Iterator[Finding]:
    """Files that cannot be read, mistakes in those that can, and what STATUS says."""
    for problem in host.seen.problems:
        yield Finding(ERROR, "files", str(problem), "")
    if not host.seen.networks:
        text = f"no network in {host.settings.conf_dir}"
        yield Finding(WARNING, "networks", text, "write a conflist there, or set NETCONFPATH")
    runtime = host.settings.runtime()
    for network in host.seen.networks:
        found = [one for one in validate(host.settings, network.source) if one.fatal]
        for one in found:
            text = f"{network.source}: {one.place}: {one.message}" if one.place else one.message
            yield Finding(ERROR, "networks", text, f"cnitool validate {network.name}")
        if found:
            continue
        try:
            runtime.status(network)
        except CniError as error:
            text = f"network {network.name} could not serve an ADD: {error}"
            yield Finding(ERROR, "networks", text, f"cnitool status {network.name}")
        else:
            yield Finding(OK, "networks", f"{network.name}: valid, {_asked(network)}")


def _asked(network: NetworkConfigList) -> str:
    """What came of STATUS, which most networks in the field are too old for."""
    if at_least(network.version, FIRST_WITH["STATUS"]):
        return "and STATUS is fine"
    return (
        f'and not asked for STATUS, which "cniVersion" {network.version} does not have: '
        "whether an ADD could work here, cnitool explain tells"
    )


def leftovers(host: Host) -> Iterator[Finding]:
    """Attachments of containers that have ended, and others where the sources disagree."""
    dead = [one for one in host.seen.attachments if one.is_alive is False]
    for network in sorted({one.network for one in dead}):
        count = sum(one.network == network for one in dead)
        text = f"network {network}: {count} attachments of containers that have ended"
        remedy = f"cnitool attachments {network}; the runtime's GC, or cnitool gc"
        yield Finding(WARNING, "attachments", text, remedy)
    alive = [one for one in host.seen.attachments if one.is_alive is not False]
    for one in alive:
        for sentence in host.seen.conflicts(one)[:1]:
            text = f"container {one.container_id}, {one.ifname} on {one.network}: {sentence}"
            yield Finding(WARNING, "attachments", text, f"cnitool inspect {one.container_id}")
    if host.seen.attachments and not dead:
        yield Finding(OK, "attachments", f"{len(alive)} attachments, none of an ended container")


def ranges(host: Host) -> Iterator[Finding]:
    """Ranges that are full or nearly so."""
    problems: list[CniError] = []
    for use in ipam.uses(host.seen, "", problems):
        if use.free == 0:
            text = f"network {use.network}: no address is free in {use.ranges}"
            yield Finding(ERROR, "ipam", text, f"cnitool ipam {use.network}; a larger subnet")
        elif use.free < use.total * (1 - _FULL):
            text = f"network {use.network}: {use.free} of {use.total} addresses are free"
            yield Finding(WARNING, "ipam", text, f"cnitool ipam {use.network}")
        else:
            text = f"{use.network}: {use.free:,} of {use.total:,} addresses are free"
            yield Finding(OK, "ipam", text)
