"""The overlays in the directory of network configurations, which is looked at again and again.

It is asked for its state every second or so (some microseconds for each file) and not watched by
inotify: it may not be there yet, be replaced as a whole, or consist of symbolic links into what is
(a Kubernetes ConfigMap), and an event may get lost; of a list of files, the next look tells all.
"""

from __future__ import annotations

import os

from cni.errors import CniError
from libcni.confdir import load_networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.jsonvalue import JsonObject
    from libcni.conf import PluginConf

DIRECTORY = "/etc/cni/net.d"
_ENGINES = ("", "static", "etcd")
"""Of `peers.type`: the others get their peers from the kernel, FRR or flanneld."""


class OverlayConfigs:
    """The configurations of a directory's overlays: pairs of a network's name and its plugin's."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._seen: object = None

    def changed(self) -> list[tuple[str, JsonObject]] | None:
        """Those there are, at first and whenever a file has changed; None where none has."""
        now = sorted(_files(self._directory, deeper=True))
        if now == self._seen:
            return None
        self._seen = now
        found: dict[str, JsonObject] = {}
        try:
            networks, _broken = load_networks(self._directory)
        except CniError:  # it cannot be read
            return []
        for network in networks:
            for plugin in network.plugins:
                if _is_ours(plugin):
                    found.setdefault(network.name, plugin.config)
        return [*found.items()]


def _is_ours(plugin: PluginConf) -> bool:
    peers = plugin.config.get("peers")
    engine = peers.get("type", "") if isinstance(peers, dict) else ""
    return plugin.type == "vxlan" and engine in _ENGINES


def _files(directory: str, *, deeper: bool) -> Iterator[tuple[str, int, int, int]]:
    """What tells one state of its files from another; deeper: those of its directories too."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir():
                    if deeper:
                        yield from _files(entry.path, deeper=False)
                    continue
                status = entry.stat()
                yield entry.path, status.st_ino, status.st_mtime_ns, status.st_size
    except OSError:  # it is not there, or goes just now
        return
