"""The verbs of a runtime over a network's plugins (SPEC.md, section 3).

Where Go's libcni stops at the first failing plugin of a DEL and leaves what a failed ADD began, a
`Runtime` goes on and cleans up; what it sends to plugins is the same.
"""

from __future__ import annotations

import os

from cni.call import Attachment as AttachmentKey
from cni.errors import INCOMPATIBLE_VERSION, INVALID_CONFIG, UNKNOWN_CONTAINER, CniError, together
from cni.names import name_problem
from cni.record import replace
from cni.versions import FIRST_WITH, at_least
from libcni import errors
from libcni.attachment import Attachment, require_valid
from libcni.cache import DEFAULT_DIRECTORY, Cache, CachedAttachment
from libcni.chain import Chain
from libcni.invoke import Invoker, to_stderr, write_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cni.jsonvalue import JsonValue
    from cni.result import Result
    from libcni.cancel import Cancel
    from libcni.conf import NetworkConfigList

DEFAULT_TIMEOUT = 300.0
"""Seconds. Longer than any plugin of the suite takes, a DHCP lease included."""


class Runtime:
    """Attaches containers to networks.

    path: the directories with plugins, CNI_PATH. cache_dir: where results are kept. timeout:
    seconds each plugin may take, None for any time. environ: what plugins inherit, by default the
    process's environment at the time. on_stderr: gets the type of a plugin and what it wrote to
    stderr, by default copied to ours.

    The verbs raise CniError and nothing else for whatever a plugin does. `cancel` ends a verb from
    another thread. Different containers may be served in parallel, one and the same must not be.
    """

    def __init__(
        self,
        path: Sequence[str],
        cache_dir: str = DEFAULT_DIRECTORY,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        environ: Mapping[str, str] | None = None,
        on_stderr: Callable[[str, str], None] = to_stderr,
    ) -> None:
        inherited = os.environ if environ is None else environ
        self.cache = Cache(cache_dir)
        self._invoker = Invoker(tuple(path), inherited, timeout, on_stderr)

    def add(
        self,
        network: NetworkConfigList,
        attachment: Attachment,
        *,
        undo: bool = True,
        cancel: Cancel | None = None,
    ) -> Result:
        """Attach a container: every plugin in order, then the result into the cache.

        undo: whether the plugins that ran get a DEL where this fails, for whatever reason, and the
        container was not attached before. Without it the runtime must DEL, as SPEC.md wants. What
        could not be undone is in the error's details.
        """
        _require_valid(network, attachment, "ADD")
        chain = Chain(self._invoker, network, attachment, cancel)
        chain.find_all("ADD")
        attached = self.cache.prepare(network.name, attachment.key)
        result: Result | None = None
        ran = 0
        try:
            for plugin in network.plugins:
                ran += 1
                result = chain.add(plugin, result)
            if result is None:
                raise CniError(
                    INVALID_CONFIG,
                    f'network "{network.name}" has no plugins, expected at least one',
                )
            self.cache.store(network, attachment, write_result(result, network.version))
        except BaseException as error:
            # A second ADD fails because of the first: undoing it would cut off what works.
            if undo and not attached:
                # Not to be cancelled: what cancelled the ADD wants it gone.
                again = replace(chain, cancel=None).delete(network.plugins[:ran], result)
                raise _with_failures(error, again) from error.__cause__
            raise
        return result

    def check(
        self, network: NetworkConfigList, attachment: Attachment, *, cancel: Cancel | None = None
    ) -> None:
        """Compare an attachment with what ADD answered; the first plugin that objects is raised.

        Does nothing where the network has `disableCheck`. Raises CniError: INCOMPATIBLE_VERSION
        before spec 0.4.0, UNKNOWN_CONTAINER where the cache has no result.
        """
        if not at_least(network.version, FIRST_WITH["CHECK"]):
            raise CniError(
                INCOMPATIBLE_VERSION,
                f'configuration version "{network.version}" does not support the CHECK command: '
                f'set "cniVersion" to {FIRST_WITH["CHECK"]} or newer',
            )
        if network.disable_check:
            return
        _require_valid(network, attachment, "CHECK")
        entry = self.cache.load(network.name, attachment.key)
        if entry is None or entry.result is None:
            raise CniError(
                UNKNOWN_CONTAINER,
                f'network "{network.name}": {self.cache.results} has no result of an ADD of '
                f"container {attachment.container_id}, interface {attachment.ifname}, to check "
                "against",
            )
        attachment = attachment.filled(entry.args, entry.capability_args)
        previous = write_result(entry.result, network.version)
        chain = Chain(self._invoker, network, attachment, cancel)
        for plugin in network.plugins:
            chain.call("CHECK", plugin, previous)

    def delete(
        self, network: NetworkConfigList, attachment: Attachment, *, cancel: Cancel | None = None
    ) -> None:
        """Detach a container: every plugin in reverse order, whatever the others say.

        The cache entry goes when all succeeded, and stays for another try when one failed; one
        that is missing or torn does not matter. Raises one CniError that tells of all failures.
        """
        _require_valid(network, attachment, "DEL")
        entry = self.cache.load(network.name, attachment.key)
        if entry is None:
            attachment, result = attachment.filled((), {}), None
        else:
            attachment = attachment.filled(entry.args, entry.capability_args)
            result = entry.result
        chain = Chain(self._invoker, network, attachment, cancel)
        failures = chain.delete(network.plugins, result)
        if failures:
            raise together(failures)
        self.cache.remove(network.name, attachment.key)

    def gc(
        self,
        network: NetworkConfigList,
        valid: Iterable[AttachmentKey],
        *,
        cancel: Cancel | None = None,
    ) -> None:
        """Remove what is left of attachments to the network that are not `valid` any more.

        Each of those in the cache gets a DEL; from spec 1.1.0 on every plugin then gets a GC. Does
        nothing where the network has `disableGC`. Raises one CniError that tells of all failures.
        """
        if network.disable_gc:
            return
        keep = sorted(set(valid), key=lambda key: (key.container_id, key.ifname))
        failures = self._delete_stale(network, frozenset(keep), cancel)
        if at_least(network.version, FIRST_WITH["GC"]):
            chain = Chain(self._invoker, network, cancel=cancel)
            for plugin in network.plugins:
                try:
                    chain.call("GC", plugin, more=_valid_attachments(keep))
                except CniError as error:
                    failures.append(error)
        if failures:
            raise together(failures)

    def status(self, network: NetworkConfigList, *, cancel: Cancel | None = None) -> None:
        """Ask every plugin whether it could serve an ADD now; before spec 1.1.0 none is asked.

        Raises the first refusal with its code: NOT_AVAILABLE, or LIMITED.
        """
        chain = Chain(self._invoker, network, cancel=cancel)
        if at_least(network.version, FIRST_WITH["STATUS"]):
            for plugin in network.plugins:
                chain.call("STATUS", plugin)

    def validate(
        self, network: NetworkConfigList, *, cancel: Cancel | None = None
    ) -> frozenset[str]:
        """Prove that every plugin is there and speaks the network's version.

        Returns the capabilities that the network takes arguments for. Raises one CniError that
        tells of all plugins that do not fit.
        """
        failures = Chain(self._invoker, network, cancel=cancel).validate()
        if failures:
            raise together(failures)
        return network.capabilities

    def versions(self, plugin: str, *, cancel: Cancel | None = None) -> tuple[str, ...]:
        """The spec versions that a plugin, by its type, supports."""
        return self._invoker.versions(plugin, cancel)

    def attachments(self, container_id: str = "", network: str = "") -> list[CachedAttachment]:
        """What the cache says is attached: all of it, a container's, a network's, or both's.

        Files that are no entries are passed over; `cache.scan()` tells of them.
        """
        return [
            entry
            for entry in self.cache.scan()[0]
            if container_id in ("", entry.container_id) and network in ("", entry.network)
        ]

    def _delete_stale(
        self, network: NetworkConfigList, keep: frozenset[AttachmentKey], cancel: Cancel | None
    ) -> list[CniError]:
        entries = self.attachments(network=network.name)
        # A path such as /proc/PID/ns/net comes back with another container: its interface is not
        # the stale attachment's.
        taken = {(entry.netns, entry.ifname) for entry in entries if entry.key in keep}
        failures: list[CniError] = []
        for entry in entries:
            if entry.key in keep or (cancel is not None and cancel.cancelled):
                continue
            stale = entry.attachment
            if (entry.netns, entry.ifname) in taken:
                stale = replace(stale, netns="")
            try:
                self.delete(network, stale, cancel=cancel)
            except CniError as error:
                where = f"failed to delete stale attachment {entry.container_id} {entry.ifname}"
                failures.append(errors.within(where, error))
        return failures


def _require_valid(network: NetworkConfigList, attachment: Attachment, command: str) -> None:
    problem = name_problem(network.name)
    if problem:
        raise CniError(INVALID_CONFIG, f"network name: {problem}")
    require_valid(attachment, command)


def _with_failures(error: BaseException, failures: list[CniError]) -> BaseException:
    """An ADD's error, with what went wrong when it was undone."""
    if not failures:
        return error
    told = f"and undoing it failed: {together(failures)}"
    if isinstance(error, CniError):
        return errors.with_details(error, told)
    error.add_note(told)
    return error


def _valid_attachments(keep: list[AttachmentKey]) -> dict[str, JsonValue]:
    """Both spellings of the key, the specification's and that of its first print.

    null where there are none: what Go makes of an empty list, so what plugins have seen.
    """
    listed: JsonValue = [
        {"containerID": key.container_id, "ifname": key.ifname} for key in keep
    ] or None
    return {"cni.dev/valid-attachments": listed, "cni.dev/attachments": listed}
