"""What the files of `host-local` say: addresses, and who holds them."""

from __future__ import annotations

import os

from cni.errors import IO_FAILURE, CniError
from cni.ip import parse_address
from cni_host_local.config import DATA_DIR
from cni_host_local.store import split_holder
from cnitool.state.model import Reservation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcni.conf import NetworkConfigList


def directories(networks: Iterable[NetworkConfigList]) -> list[str]:
    """The data directories in use: the default, and what networks name instead."""
    found = {DATA_DIR: None}
    for network in networks:
        for plugin in network.plugins:
            other = plugin.ipam.get("dataDir")
            if isinstance(other, str) and other:
                found[other] = None
    return list(found)


def read(directory: str, problems: list[CniError]) -> Iterator[Reservation]:
    """Every reservation below a data directory; what cannot be read is added to `problems`."""
    for network in _names(directory, problems):
        folder = os.path.join(directory, network)
        if os.path.isdir(folder):
            for name in _names(folder, problems):
                yield from _reservation(network, os.path.join(folder, name), problems)


def _names(directory: str, problems: list[CniError]) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(CniError(IO_FAILURE, f"{directory} cannot be read: {error.strerror}"))
        return []


def _reservation(network: str, path: str, problems: list[CniError]) -> Iterator[Reservation]:
    try:
        address = parse_address(os.path.basename(path))
    except ValueError:  # the lock, a cursor, or nothing of host-local's
        return
    try:
        with open(path, "rb") as file:
            since = os.fstat(file.fileno()).st_mtime
            holder = split_holder(file.read(4096))
    except FileNotFoundError:  # freed meanwhile
        return
    except OSError as error:
        problems.append(CniError(IO_FAILURE, f"{path} cannot be read: {error.strerror}"))
        return
    if holder is None:
        text = f"{path} is empty or torn; the next ADD, GC or rescan of host-local frees it"
        problems.append(CniError(IO_FAILURE, text))
        return
    container, ifname = (part.decode(errors="backslashreplace") for part in holder)
    yield Reservation(network, address, container, ifname, path, since)
