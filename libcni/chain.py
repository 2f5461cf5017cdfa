"""A network's plugins, called one after the other for one attachment or none."""

from __future__ import annotations

from cni.errors import INCOMPATIBLE_VERSION, CniError
from cni.record import record
from cni.versions import at_least
from libcni import errors
from libcni.attachment import NOBODY, Attachment
from libcni.invoke import Invoker, read_result, request, write_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.jsonvalue import JsonValue
    from cni.result import Result
    from libcni.cancel import Cancel
    from libcni.conf import NetworkConfigList, PluginConf

_WORDS = {
    "ADD": "add",
    "CHECK": "check",
    "DEL": "delete",
    "GC": "gc",
    "STATUS": "status",
    "VERSION": "version",
}
"""The verbs as errors name them."""


@record
class Chain:
    """One verb's way through a network. attachment: NOBODY for GC, STATUS and VERSION."""

    invoker: Invoker
    network: NetworkConfigList
    attachment: Attachment = NOBODY
    cancel: Cancel | None = None

    def find_all(self, command: str) -> None:
        """Prove that every executable is there. Raises CniError."""
        for plugin in self.network.plugins:
            try:
                self.invoker.find(plugin.type)
            except CniError as error:
                raise self._named(plugin, command, error) from error

    def call(
        self,
        command: str,
        plugin: PluginConf,
        previous: dict[str, JsonValue] | None = None,
        more: Mapping[str, JsonValue] | None = None,
    ) -> bytes:
        """One plugin's stdout. previous: its prevResult. Raises CniError that names the plugin."""
        try:
            stdin = request(self.network, plugin, self.attachment, previous, more)
            return self.invoker.call(command, plugin.type, stdin, self.attachment, self.cancel)
        except CniError as error:
            raise self._named(plugin, command, error) from error

    def add(self, plugin: PluginConf, previous: Result | None) -> Result:
        """One plugin's ADD. previous: the result of the plugin before it, None for the first."""
        version = self.network.version
        told = None if previous is None else write_result(previous, version)
        stdout = self.call("ADD", plugin, told)
        try:
            return read_result(stdout, version)
        except CniError as error:
            raise self._named(plugin, "ADD", error) from error

    def delete(self, plugins: tuple[PluginConf, ...], result: Result | None) -> list[CniError]:
        """DEL of each of them, the last first; what failed. result: of the ADD, where known."""
        previous = None
        if result is not None and at_least(self.network.version, "0.4.0"):
            previous = write_result(result, self.network.version)
        failures: list[CniError] = []
        for plugin in reversed(plugins):
            try:
                self.call("DEL", plugin, previous)
            except CniError as error:
                failures.append(error)
            if self.cancel is not None and self.cancel.cancelled:
                break
        return failures

    def validate(self) -> list[CniError]:
        """VERSION of each type of plugin; those that are missing or do not fit."""
        failures: list[CniError] = []
        version = self.network.version
        for plugin in {plugin.type: plugin for plugin in self.network.plugins}.values():
            try:
                supported = self.invoker.versions(plugin.type, self.cancel)
                if version not in supported:
                    raise CniError(
                        INCOMPATIBLE_VERSION,
                        f'plugin {plugin.type} does not support config version "{version}": it '
                        f'supports {", ".join(supported)}; set "cniVersion" to one of them',
                    )
            except CniError as error:
                failures.append(self._named(plugin, "VERSION", error))
        return failures

    def _named(self, plugin: PluginConf, command: str, error: CniError) -> CniError:
        return errors.of_plugin(self.network, plugin, _WORDS[command], error)
