"""Errors in the field's words: which plugin of which network failed at what."""

from __future__ import annotations

from cni.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libcni.conf import NetworkConfigList, PluginConf


def within(where: str, error: CniError) -> CniError:
    """The same error with `where` put before its message."""
    return CniError(error.code, f"{where}: {error.msg}", error.details)


def of_plugin(
    network: NetworkConfigList, plugin: PluginConf, verb: str, error: CniError
) -> CniError:
    """A plugin's error as runtimes' logs and users' scripts know it, its code unchanged.

    verb: `add`, `delete`, `check`, `gc`, `status` or `version`.
    """
    return within(f'plugin type="{plugin.type}" name="{network.name}" failed ({verb})', error)


def with_details(error: CniError, more: str) -> CniError:
    """The same error with something added to its details."""
    details = f"{error.details}; {more}" if error.details else more
    return CniError(error.code, error.msg, details)
