"""Healing: give running containers back what their host's packet filter has lost.

What an attachment is to have, the results cache says: the network's config, the arguments and the
result of its ADD, which any runtime with libcni's cache has left there. Whether it runs, the kernel
says. What is lost, the plugins themselves look for (`cni.skel.Plugin.restore`), those of our own
bundle and no others, called as functions.
"""

from __future__ import annotations

import time

from cni import execute
from cni.call import Call
from cni.errors import CniError
from cni.jsonvalue import JsonObject
from cni.record import record
from hostnet import netfilter
from hostnet.condition import OnlyWhile
from hostnet.iptables_batch import Batch
from libcni.attachment import require_valid
from libcni.cache import Cache
from libcni.conf import network_from_bytes
from libcni.invoke import config_of
from wiring import restoring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cni.bundle import Bundle
    from cni.skel import Plugin
    from libcni.cache import CachedAttachment
    from libcni.conf import NetworkConfigList, PluginConf

    Chain = tuple[NetworkConfigList, list[tuple[PluginConf, Plugin]]]

_ATTEMPTS = 3
"""How often many edits of iptables are tried together, while somebody else edits too."""


class WouldError(Exception):
    """Something would have to be done, and is not to be."""


@record
class Healed:
    """An attachment of which something was lost. plugins: those that restored it. acts: what was
    done, or is to be done, in words."""

    network: str
    container_id: str
    ifname: str
    plugins: tuple[str, ...]
    acts: tuple[str, ...]


@record
class Report:
    """What a look has found. running: attachments that run, of plugins of ours. gone: of those in
    the cache, how many do not. problems: what could not be restored or read, in words."""

    running: int
    gone: int
    healed: tuple[Healed, ...]
    problems: tuple[str, ...]
    seconds: float


class Healer:
    """Heals the attachments of some cache directories, in the thread's network namespace.

    bundle: the plugins that are ours. path: the directories of CNI_PATH; a plugin is asked where
    its executable there is the bundle's. environ: what they see of the environment. Keeps netlink
    sockets open (`netfilter.keep`): for a process with a single thread.
    """

    def __init__(
        self,
        bundle: Bundle,
        path: Sequence[str],
        cache_directories: Sequence[str],
        environ: Mapping[str, str],
    ) -> None:
        self._bundle = bundle
        self._path = tuple(path)
        self._caches = [Cache(one) for one in cache_directories]
        self._environ = {**environ, "CNI_COMMAND": "CHECK", "CNI_PATH": ":".join(path)}
        self._chains: dict[bytes, Chain] = {}
        self._plugins: dict[str, Plugin | None] = {}
        netfilter.keep()

    def look(
        self, network: str = "", *, dry_run: bool = False, alive: Callable[[], object] = int
    ) -> Report:
        """Look at each attachment, or those of one network, and restore what is lost.

        dry_run: change nothing. alive: called before each attachment. What goes wrong with one is
        in the report and keeps no other from being healed.
        """
        start = time.monotonic()
        self._plugins.clear()
        entries, problems = self._entries(network)
        try:
            for _attempt in range(_ATTEMPTS):
                with Batch() as batch:
                    look = _Look(self, dry_run, alive)
                    look.all(entries)
                    if dry_run or batch.commit():
                        break
            else:
                look = _Look(self, dry_run, alive)
                look.all(entries)
        except (CniError, OSError) as error:
            # Of all edits together one was refused: each by itself now.
            look = _Look(self, dry_run, alive)
            look.problems.append(str(error))
            look.all(entries)
        finally:
            self._chains.clear()
        return look.report([*map(str, problems)], time.monotonic() - start)

    def _entries(self, network: str) -> tuple[list[CachedAttachment], list[CniError]]:
        entries: list[CachedAttachment] = []
        problems: list[CniError] = []
        for cache in self._caches:
            try:
                found, damaged = cache.scan()
            except CniError as error:
                problems.append(error)
                continue
            entries += (one for one in found if network in ("", one.network))
            problems += damaged
        return entries, problems

    def calls(self, entry: CachedAttachment) -> Iterator[tuple[Plugin, Call]]:
        """The calls of our plugins for an attachment, in the order of ADD.

        Raises CniError for an entry that says no attachment.
        """
        require_valid(entry.attachment, "CHECK")
        network, plugins = self._chain(entry)
        for conf, plugin in plugins:
            config = config_of(network, conf, entry.attachment)
            yield (
                plugin,
                Call(
                    "CHECK",
                    network.name,
                    network.version,
                    JsonObject(config),
                    b"",
                    self._environ,
                    container_id=entry.container_id,
                    ifname=entry.ifname,
                    netns=entry.netns,
                    args=dict(entry.args),
                    path=self._path,
                    prev_result=entry.result,
                    bundle=self._bundle,
                ),
            )

    def _chain(self, entry: CachedAttachment) -> Chain:
        """The network that an entry holds, and its plugins that can restore anything."""
        found = self._chains.get(entry.config)
        if found is None:
            network = network_from_bytes(entry.config, f"the configuration in {entry.path}")
            ours = ((one, self._plugin(one.type)) for one in network.plugins)
            found = network, [(one, plugin) for one, plugin in ours if plugin is not None]
            self._chains[entry.config] = found
        return found

    def _plugin(self, kind: str) -> Plugin | None:
        """Our plugin, where the executable of that name is ours, and it can restore anything."""
        if kind not in self._plugins:
            try:
                ours = self._bundle.owns(kind, execute.find(kind, self._path))
            except CniError:  # there is none
                ours = False
            plugin = self._bundle.plugins[kind]() if ours else None
            self._plugins[kind] = plugin if plugin is not None and plugin.restore else None
        return self._plugins[kind]


class _Look:
    """One look at all attachments."""

    def __init__(self, healer: Healer, dry_run: bool, alive: Callable[[], object]) -> None:
        self._healer = healer
        self._dry_run = dry_run
        self._alive = alive
        self._running = self._gone = 0
        self._healed: list[Healed] = []
        self.problems: list[str] = []

    def all(self, entries: Sequence[CachedAttachment]) -> None:
        """Look at each of them."""
        for entry in entries:
            self._alive()
            where = f"{entry.network}/{entry.container_id}/{entry.ifname}"
            try:
                self._one(entry)
            except restoring.GoneError:
                self._gone += 1
            except (CniError, OSError) as error:
                self.problems.append(f"{where}: {error}")
            except Exception as defect:  # noqa: BLE001 - of one; the others are to be healed
                self.problems.append(f"{where}: {type(defect).__name__}: {defect}")

    def _one(self, entry: CachedAttachment) -> None:
        if entry.result is None:
            self.problems.append(f"cache entry {entry.path} has no result that can be read")
            return
        calls = [*self._healer.calls(entry)]
        if not calls:
            return
        if not restoring.is_running(calls[0][1]):
            raise restoring.GoneError(entry.container_id)
        self._running += 1
        acts: list[str] = []
        plugins: list[str] = []
        try:
            with OnlyWhile(lambda what: self._note(acts, what)):
                for plugin, call in calls:
                    if self._restored(plugin, call):
                        plugins.append(plugin.name)
        finally:
            if plugins:
                names = entry.network, entry.container_id, entry.ifname
                self._healed.append(Healed(*names, tuple(plugins), tuple(dict.fromkeys(acts))))

    def _restored(self, plugin: Plugin, call: Call) -> bool:
        try:
            return plugin.restored(call)
        except WouldError:
            return True
        except CniError as error:  # the plugins after it go on
            self.problems.append(f"{call.owner}: {error}")
            return False

    def _note(self, acts: list[str], what: str) -> None:
        acts.append(what)
        if self._dry_run:
            raise WouldError(what)

    def report(self, problems: list[str], seconds: float) -> Report:
        """What it has found."""
        return Report(
            self._running,
            self._gone,
            tuple(self._healed),
            (*problems, *self.problems),
            round(seconds, 4),
        )
