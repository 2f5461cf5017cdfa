"""Through a network as an ADD goes: each plugin told what the one before it would answer."""

from __future__ import annotations

from cni.bundle import Bundle
from cni.call import Call
from cni.errors import CniError
from cni.explained import ASKS, Step
from cni.jsonvalue import JsonObject, parse_object
from cni.record import record
from cni.result import Result
from cnitool.explain.plugins import PLUGINS
from libcni.attachment import Attachment
from libcni.invoke import request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnitool.settings import Settings
    from libcni.conf import NetworkConfigList, PluginConf

NETNS = "(the container's namespace)"
"""What stands for the path, which no plan opens."""


@record
class Part:
    """One plugin's part. problem: why its ADD would fail, and with it the whole one."""

    plugin: str
    steps: tuple[Step, ...] = ()
    problem: str = ""


def parts(
    settings: Settings, network: NetworkConfigList, container: str
) -> Iterator[tuple[Part, Result]]:
    """Each plugin's part, and what it would answer; it ends where ADD would fail.

    container: its id, empty for any.
    """
    result: Result | None = None
    for plugin in network.plugins:
        try:
            call = _call(settings, network, plugin, container, result)
            part, result = _part(plugin.type, call)
        except (CniError, OSError) as error:
            yield Part(plugin.type, problem=str(error)), result or Result()
            return
        yield part, result


def _part(name: str, call: Call) -> tuple[Part, Result]:
    plugin = PLUGINS.get(name)
    if plugin is None:
        step = Step(ASKS, "plugin", name, "which is not of this suite: what it does is not known")
        return Part(name, (step,)), call.prev_result or Result()
    told = plugin.explained(call)
    return Part(name, told.steps), told.result


def _call(
    settings: Settings,
    network: NetworkConfigList,
    plugin: PluginConf,
    container: str,
    previous: Result | None,
) -> Call:
    """The call of an ADD. Raises CniError for arguments that are wrong."""
    attachment = Attachment(
        container, NETNS, settings.interface(), settings.args(), settings.capability_args()
    )
    stdin = request(network, plugin, attachment)
    return Call(
        "ADD",
        network.name,
        network.version,
        JsonObject(parse_object(stdin, "the config").raw),
        stdin,
        settings.environ,
        container_id=container,
        ifname=attachment.ifname,
        netns=NETNS,
        args=dict(attachment.args or ()),
        path=settings.path,
        prev_result=previous,
        bundle=Bundle({name: lambda one=one: one for name, one in PLUGINS.items()}, ""),  # type: ignore[misc]
    )
