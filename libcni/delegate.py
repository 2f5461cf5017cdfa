"""One plugin calling another (SPEC.md, section 4), for meta-plugins written in Python.

The delegate gets the caller's environment, with the verb put in, and the configuration it is
given. It stays in the caller's process group, to die with it.
"""

from __future__ import annotations

import os

from cni import execute
from cni.errors import CniError
from cni.jsonvalue import parse_object
from cni.versions import UNSTATED
from libcni.errors import with_details
from libcni.invoke import failure, read_result, to_stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.result import Result


def add(plugin: str, config: bytes, environ: Mapping[str, str] | None = None) -> Result:
    """ADD by a delegate, and a DEL where that fails, as the spec asks of the caller.

    plugin: its type. config: its stdin, `name` and `cniVersion` included. environ: with CNI_PATH
    and the attachment, by default the process's own. Raises the delegate's CniError, with what the
    DEL said in its details.
    """
    version = parse_object(config, "the delegate's config").string("cniVersion") or UNSTATED
    try:
        return read_result(_run("ADD", plugin, config, environ), version)
    except CniError as error:
        try:
            delete(plugin, config, environ)
        except CniError as second:
            raise with_details(error, f"and undoing it failed: {second}") from error
        raise


def delete(plugin: str, config: bytes, environ: Mapping[str, str] | None = None) -> None:
    """DEL by a delegate. Raises its CniError."""
    _run("DEL", plugin, config, environ)


def check(plugin: str, config: bytes, environ: Mapping[str, str] | None = None) -> None:
    """CHECK by a delegate. Raises its CniError."""
    _run("CHECK", plugin, config, environ)


def gc(plugin: str, config: bytes, environ: Mapping[str, str] | None = None) -> None:
    """GC by a delegate. Raises its CniError."""
    _run("GC", plugin, config, environ)


def status(plugin: str, config: bytes, environ: Mapping[str, str] | None = None) -> None:
    """STATUS of a delegate. Raises its CniError."""
    _run("STATUS", plugin, config, environ)


def _run(command: str, plugin: str, config: bytes, environ: Mapping[str, str] | None) -> bytes:
    inherited = os.environ if environ is None else environ
    directories = [part for part in inherited.get("CNI_PATH", "").split(os.pathsep) if part]
    outcome = execute.run(
        execute.find(plugin, directories), {**inherited, "CNI_COMMAND": command}, config
    )
    if outcome.stderr:
        to_stderr(plugin, outcome.stderr.decode(errors="replace"))
    if outcome.status:
        raise failure(outcome)
    return outcome.stdout
