"""What must hold after a power cut, whatever the file system is and wherever it was cut."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path

from cni.errors import CniError
from libcni.attachment import Attachment
from tests.host_local.network import remove_indexes
from tests.kit.calls import PluginError
from tests.reliability.power.stream import ROOM, Stream, Told

KINDS = ("lost", "back", "given twice", "refused", "stays for ever")
"""What may be wrong: what each line begins with."""
_OURS = ("lock", "last_reserved_ip.0")


def problems(stream: Stream, told: Told) -> list[str]:
    """What is wrong with the files as they are found, before anybody has called anything."""
    found: list[str] = []
    for container, address in told.there.items():
        name = str(ip_interface(address).ip)
        try:
            content = (stream.directory / name).read_bytes().decode()
        except FileNotFoundError:
            content = "nothing"
        if content != f"{container}\r\neth0":
            found.append(f"lost: {container}'s reservation {name} holds {content!r}")
        entry = stream.cache.load(stream.name, Attachment(container).key)
        if entry is None or entry.result is None:
            found.append(f"lost: {container}'s entry in the results cache")
        elif str(entry.result.ips[0].address) != address:
            found.append(f"lost: {container}'s entry has {entry.result.ips[0].address}")
    holders = {*told.there, told.asked}
    for path in _files(stream.directory):
        content = path.read_bytes().decode()
        if path.name not in _OURS and content.partition("\r\n")[0] not in holders:
            found.append(f"back: {path.name} of {content!r}")
    found += [
        f"back: {path.name}"
        for path in _files(Path(stream.cache.results))
        if not path.name.startswith(".") and path.name.split("-")[1] not in holders
    ]
    return found


def use(stream: Stream, told: Told, rebooted: bool = False) -> list[str]:
    """What is wrong with how the plugins go on: every verb of every container must succeed.

    rebooted: the machine was, so whatever is held is nobody's, and all of the range is free at
    once, also for a container of the same id. Else each container that was told of still has its
    address, and the rest is free.
    """
    try:
        return list(_use(stream, told, rebooted))
    except (PluginError, CniError) as error:
        return [f"refused: {error}"]


def _use(stream: Stream, told: Told, rebooted: bool) -> Iterator[str]:
    remove_indexes(stream.name)  # /run is empty after a reboot
    stream.status()
    if rebooted:
        held = {again: stream.add(again) for again in list(told.there)[:1]}
    else:
        held = dict(told.there)
        if told.asked:
            stream.delete(told.asked)
    for number in range(ROOM - len(held)):
        held[f"new{number}"] = stream.add(f"new{number}")
    if len(set(held.values())) != ROOM:
        yield f"given twice: {held}"
    for container in {*held, *told.there, *told.gone} | ({told.asked} - {""}):
        stream.delete(container)
    stream.gc()
    stream.status()
    stream.add("again")
    stream.delete("again")
    left = [path.name for path in _files(stream.directory) if path.name not in _OURS]
    left += [path.name for path in _files(Path(stream.cache.results))]
    if left:
        yield f"stays for ever: {left}"


def _files(directory: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return list(directory.iterdir())
    return []
