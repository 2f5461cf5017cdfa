"""Healing: give running containers back what their host's packet filter has lost.

What an attachment is to have, the results cache says: the network's config, the arguments and the
result of its ADD, which any runtime with libcni's cache has left there. Whether it runs, the kernel
says. What is lost, the plugins themselves look for (`cni.skel.Plugin.restore`), those of our own
bundle and no others, called as functions.
"""

from __future__ import annotations

import time

from cni import execute
from cni.call import Attachment as AttachmentKey
from cni.call import Call, owner
from cni.errors import CniError
from cni.jsonvalue import JsonObject
from cni.record import record, replace
from hostnet import netfilter
from hostnet.condition import OnlyWhile
from hostnet.iptables_batch import Batch as IptablesBatch
from hostnet.netlink import NetlinkError
from hostnet.nfbatch import Batch
from libcni.attachment import NOBODY, require_valid
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

    Chain = tuple[NetworkConfigList, list[tuple[PluginConf, Plugin, JsonObject]]]

_ATTEMPTS = 3
"""How often many changes are tried together, while somebody else changes rules too."""
_TOGETHER = 256
"""Attachments in one transaction of nftables, which takes the kernel some ten milliseconds."""


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

    @property
    def owner(self) -> str:
        """`network/container/ifname`."""
        return owner(self.network, AttachmentKey(self.container_id, self.ifname))


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
        self._laid: list[CachedAttachment] = []
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
        look = _Look(self, dry_run, alive)
        try:
            found = look.at(entries)
        finally:
            self._chains.clear()
        healed = {one.owner for one in found.healed}
        self._laid = [one for one in entries if one.owner in healed]
        return Report(
            found.running,
            found.gone,
            tuple(found.healed),
            (*map(str, problems), *found.problems),
            round(time.monotonic() - start, 4),
        )

    def withdraw(self) -> tuple[int, list[str]]:
        """Take back what the last look laid down for those who have gone since, and forget them.

        A DEL of ours sets a sign that healing reads; another suite's does not, and may have taken
        the rules right before that look. Gives how many of the last look are still there, and
        what went wrong.
        """
        left: list[CachedAttachment] = []
        problems: list[str] = []
        for entry in self._laid:
            try:
                calls = [*self.calls(entry)]
                gone = [
                    plugin.restored(replace(call, command="DEL"))
                    for plugin, call in reversed(calls)
                ]
            except (CniError, OSError) as error:
                problems.append(f"{entry.owner}: {error}")
            else:
                if not all(gone):
                    left.append(entry)
        self._laid = left
        self._chains.clear()
        return len(left), problems

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
        attachment, prev_result, args = entry.attachment, entry.result, dict(entry.args)
        require_valid(attachment, "CHECK")
        network, plugins = self._chain(entry)
        for conf, plugin, plain in plugins:
            config = plain
            if conf.capabilities:
                config = JsonObject(config_of(network, conf, attachment))
            yield (
                plugin,
                Call(
                    "CHECK",
                    network.name,
                    network.version,
                    config,
                    b"",
                    self._environ,
                    container_id=entry.container_id,
                    ifname=entry.ifname,
                    netns=entry.netns,
                    args=args,
                    path=self._path,
                    prev_result=prev_result,
                    bundle=self._bundle,
                ),
            )

    def _chain(self, entry: CachedAttachment) -> Chain:
        """The network that an entry holds, and its plugins that can restore anything, each with its
        config where nothing in that is an attachment's own.
        """
        found = self._chains.get(entry.config)
        if found is None:
            network = network_from_bytes(entry.config, f"the configuration in {entry.path}")
            ours = ((one, self._plugin(one.type)) for one in network.plugins)
            found = (
                network,
                [
                    (one, plugin, JsonObject(config_of(network, one, NOBODY)))
                    for one, plugin in ours
                    if plugin is not None
                ],
            )
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


class _Found:
    """What a look at some attachments has found; see `Report`."""

    def __init__(self) -> None:
        self.running = self.gone = 0
        self.healed: list[Healed] = []
        self.problems: list[str] = []

    def join(self, other: _Found) -> None:
        """Add what another look has found, at others."""
        self.running += other.running
        self.gone += other.gone
        self.healed += other.healed
        self.problems += other.problems


class _Look:
    """One look at all attachments.

    Those that have lost something get it back together: by iptables all in one, by nftables so
    many at once that nobody who changes the ruleset meanwhile has to wait for long. Where that
    cannot be, as others change it all the time or the kernel refuses some of it, each gets its own
    by itself.
    """

    def __init__(self, healer: Healer, dry_run: bool, alive: Callable[[], object]) -> None:
        self._healer = healer
        self._dry_run = dry_run
        self._alive = alive

    def at(self, entries: Sequence[CachedAttachment]) -> _Found:
        """Look at these."""
        try:
            for _attempt in range(_ATTEMPTS):
                with IptablesBatch() as together:
                    found = self._in_chunks(entries)
                    if self._dry_run or together.commit():
                        return found
            return self._each(entries)
        except (CniError, OSError) as error:
            found = self._each(entries)
            found.problems.insert(0, str(error))
            return found

    def _in_chunks(self, entries: Sequence[CachedAttachment]) -> _Found:
        # The first one by itself: what is common to all, tables and chains, is laid down for it.
        found = self._each(entries[:1])
        with Batch() as batch:
            for start in range(1, len(entries), _TOGETHER):
                found.join(self._together(batch, entries[start : start + _TOGETHER]))
        return found

    def _together(self, batch: Batch, entries: Sequence[CachedAttachment]) -> _Found:
        """Look at these, with one transaction for all."""
        for _attempt in range(_ATTEMPTS):
            batch.begin()
            found = self._each(entries)
            if self._dry_run:
                batch.cancel()
                return found
            try:
                if batch.commit():
                    return found
            except NetlinkError:  # of which one, `_each` says
                break
        return self._each(entries)

    def _each(self, entries: Sequence[CachedAttachment]) -> _Found:
        found = _Found()
        for entry in entries:
            self._alive()
            try:
                self._one(entry, found)
            except restoring.GoneError:
                found.gone += 1
            except (CniError, OSError) as error:
                found.problems.append(f"{entry.owner}: {error}")
            except Exception as defect:  # noqa: BLE001 - of one; the others are to be healed
                found.problems.append(f"{entry.owner}: {type(defect).__name__}: {defect}")
        return found

    def _one(self, entry: CachedAttachment, found: _Found) -> None:
        if entry.result is None:
            found.problems.append(f"cache entry {entry.path} has no result that can be read")
            return
        calls = [*self._healer.calls(entry)]
        if not calls:
            return
        if not restoring.is_running(calls[0][1]):
            raise restoring.GoneError(entry.container_id)
        found.running += 1
        acts: list[str] = []
        plugins: list[str] = []
        try:
            with OnlyWhile(lambda what: self._note(acts, what)):
                for plugin, call in calls:
                    if self._restored(plugin, call, found):
                        plugins.append(plugin.name)
        finally:
            if plugins:
                names = entry.network, entry.container_id, entry.ifname
                found.healed.append(Healed(*names, tuple(plugins), tuple(dict.fromkeys(acts))))

    def _restored(self, plugin: Plugin, call: Call, found: _Found) -> bool:
        try:
            return plugin.restored(call)
        except WouldError:
            return True
        except CniError as error:  # the plugins after it go on
            found.problems.append(f"{call.owner}: {error}")
            return False

    def _note(self, acts: list[str], what: str) -> None:
        acts.append(what)
        if self._dry_run:
            raise WouldError(what)
