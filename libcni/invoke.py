"""One call of one plugin: the environment and stdin a runtime sends, and what comes back.

As Go's libcni does it (SPEC.md, section 2), so that every plugin in every language that works
under a Go runtime works under this one.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from cni import execute, wire
from cni.errors import DECODE_FAILURE, DELEGATE_FAILED, TRY_AGAIN_LATER, CniError
from cni.jsonvalue import parse_object
from cni.record import record
from cni.result import Result
from cni.versions import CURRENT, at_least
from libcni.attachment import NOBODY, Attachment
from libcni.gojson import compact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cni.jsonvalue import JsonValue
    from libcni.cancel import Cancel
    from libcni.conf import NetworkConfigList, PluginConf

_SHOWN = 2000
_INJECTED = frozenset({"name", "cniversion", "prevresult"})
_ANYBODY = Attachment("", netns="dummy", ifname="dummy")
"""VERSION has no attachment; plugins of old skels want these variables not to be empty."""


def to_stderr(plugin: str, text: str) -> None:
    """Where a plugin's stderr goes unless the runtime says otherwise: to ours, as in Go."""
    del plugin
    sys.stderr.write(text)


@record
class Invoker:
    """How plugins are found and run.

    path: the directories of CNI_PATH. environ: what plugins inherit. timeout: seconds a plugin
    may take, None for any time. on_stderr: gets a plugin's type and what it wrote there.
    """

    path: tuple[str, ...]
    environ: Mapping[str, str]
    timeout: float | None = None
    on_stderr: Callable[[str, str], None] = to_stderr

    def find(self, kind: str) -> str:
        """A plugin's executable. Raises CniError, in the field's words where there is none."""
        return execute.find(kind, self.path)

    def call(
        self,
        command: str,
        kind: str,
        stdin: bytes,
        attachment: Attachment = NOBODY,
        cancel: Cancel | None = None,
    ) -> bytes:
        """The stdout of a plugin that succeeded.

        Raises CniError: the plugin's own, DELEGATE_FAILED for one that ended without,
        TRY_AGAIN_LATER after a time-out or a cancellation; it and all it started are killed then.
        """
        path = os.pathsep.join(self.path)
        if command == "VERSION":
            attachment, path = _ANYBODY, "dummy"
        if cancel is not None and cancel.cancelled:
            raise CniError(TRY_AGAIN_LATER, "cancelled before it began")
        outcome = execute.run(
            self.find(kind),
            {**self.environ, **_variables(command, attachment, path)},
            stdin,
            timeout=self.timeout,
            own_group=True,
            cancel=None if cancel is None else cancel.fileno(),
        )
        if outcome.stderr:
            self.on_stderr(kind, outcome.stderr.decode(errors="replace"))
        if outcome.status:
            raise failure(outcome)
        return outcome.stdout

    def versions(self, kind: str, cancel: Cancel | None = None) -> tuple[str, ...]:
        """The spec versions a plugin says it supports. Raises CniError."""
        try:
            stdout = self.call("VERSION", kind, compact({"cniVersion": CURRENT}), cancel=cancel)
        except CniError as error:
            if error.msg == "unknown CNI_COMMAND: VERSION":  # the verb came with 0.2.0
                return ("0.1.0",)
            raise
        document = parse_object(stdout, f"the VERSION answer of {kind}")
        supported = tuple(document.strings("supportedVersions"))
        if not supported and document.string("cniVersion") == "0.2.0":
            return ("0.1.0", "0.2.0")
        if not supported:
            raise document.wrong("supportedVersions", "a list of versions", DELEGATE_FAILED)
        return supported


def _variables(command: str, attachment: Attachment, path: str) -> dict[str, str]:
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": attachment.container_id,
        "CNI_NETNS": attachment.netns,
        "CNI_IFNAME": attachment.ifname,
        "CNI_ARGS": attachment.args_text(),
        "CNI_PATH": path,
    }


def config_of(
    network: NetworkConfigList,
    plugin: PluginConf,
    attachment: Attachment = NOBODY,
    prev_result: dict[str, JsonValue] | None = None,
    more: Mapping[str, JsonValue] | None = None,
) -> dict[str, JsonValue]:
    """A plugin's config (SPEC.md, section 3 "Deriving request configuration").

    A `prevResult` written in the configuration never gets through: the spec gives the first
    plugin none. `runtimeConfig` holds the capability arguments the plugin declares; where there
    are none, the configuration's own stays.
    """
    config = {
        key: value for key, value in plugin.config.raw.items() if key.casefold() not in _INJECTED
    }
    config["name"] = network.name
    config["cniVersion"] = network.version
    if prev_result is not None:
        config["prevResult"] = prev_result
    given = attachment.capability_args or {}
    matching: dict[str, JsonValue] = {
        name: given[name] for name in plugin.capabilities if name in given
    }
    if matching:
        config["runtimeConfig"] = matching
    config.update(more or {})
    return config


def request(
    network: NetworkConfigList,
    plugin: PluginConf,
    attachment: Attachment = NOBODY,
    prev_result: dict[str, JsonValue] | None = None,
    more: Mapping[str, JsonValue] | None = None,
) -> bytes:
    """A plugin's stdin: `config_of` as a document."""
    return compact(config_of(network, plugin, attachment, prev_result, more))


def read_result(stdout: bytes, version: str) -> Result:
    """What ADD answered; `version` is assumed where the plugin names none, as in Go.

    Raises CniError: the plugin's own where it printed an error although it exited with 0, which
    Go takes for a result without addresses, or DECODE_FAILURE.
    """
    document = execute.result_in(stdout, "the plugin's result")
    try:
        said = execute.error_in(document)
        if said is None:
            return wire.decode(document, version)
    except CniError as error:
        raise CniError(DECODE_FAILURE, f"the plugin's result: {error}") from None
    raise said


def write_result(result: Result, version: str) -> dict[str, JsonValue]:
    """A result as prevResult and the cache hold it: in the network's version, normalised.

    Before 0.3.0 a result without addresses has no proper form; Go passes it on without.
    """
    if at_least(version, "0.3.0") or result.ips:
        return wire.encode(result, version)
    return wire.encode(Result(dns=result.dns), "0.3.1") | {"cniVersion": version}


def failure(outcome: execute.Outcome) -> CniError:
    """The error of a plugin that did not exit with 0, in the words of Go's libcni."""
    if outcome.status < 0:
        ending = f"signal: {(signal.strsignal(-outcome.status) or str(-outcome.status)).lower()}"
    else:
        ending = f"exit status {outcome.status}"
    if not outcome.stdout.strip():
        said = outcome.stderr.decode(errors="replace").strip()[-_SHOWN:]
        if said:
            quoted = json.dumps(said, ensure_ascii=False)
            return CniError(DELEGATE_FAILED, f"netplugin failed: {quoted}: {ending}")
        return CniError(DELEGATE_FAILED, f"netplugin failed with no error message: {ending}")
    try:
        document = parse_object(outcome.stdout, "its error")
        code = document.integer("code", 0, 0, 2**63)
        msg, details = document.string("msg"), document.string("details")
    except CniError as error:
        printed = json.dumps(outcome.stdout.decode(errors="replace")[:_SHOWN], ensure_ascii=False)
        return CniError(
            DELEGATE_FAILED,
            f"netplugin failed but error parsing its diagnostic message {printed}: {error}",
        )
    words = msg or f"netplugin failed with no error message: {ending}"
    return CniError(code or DELEGATE_FAILED, words, details)
