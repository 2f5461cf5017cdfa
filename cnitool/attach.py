"""The verbs of the protocol: add, check, del, gc, status."""

from __future__ import annotations

import sys

from cni.call import Attachment as AttachmentKey
from cni.errors import INVALID_ENVIRONMENT, CniError
from cni.names import ifname_problem, name_problem
from cnitool.settings import Settings, container_id
from libcni.gojson import pretty
from libcni.invoke import write_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcni.runtime import Runtime


def add(settings: Settings, network: str, netns: str) -> int:
    """Attach, and print the result as the reference does."""
    attachment = settings.attachment(netns)
    conf = settings.network(network)
    result = settings.runtime().add(conf, attachment)
    sys.stdout.write(pretty(write_result(result, conf.version)) + "\n")
    return 0


def check(settings: Settings, network: str, netns: str) -> int:
    """Compare what is there with the result of `add`."""
    attachment = settings.attachment(netns)
    settings.runtime().check(settings.network(network), attachment)
    return 0


def delete(settings: Settings, network: str, netns: str) -> int:
    """Detach; the configuration kept by `add` serves where the file is gone."""
    attachment = settings.attachment(netns)
    settings.runtime().delete(settings.network_to_leave(network, attachment), attachment)
    return 0


def gc(settings: Settings, network: str, keep: Sequence[str], *, dry: bool = False) -> int:
    """Remove everything of the network but what is kept; dry: only say what that would be."""
    conf = settings.network(network)
    runtime = settings.runtime()
    valid: set[AttachmentKey] = set()
    for text in keep:
        valid |= _kept(text, conf.name, runtime, settings.interface())
    if dry:
        from cnitool import views

        return views.collected(settings, conf.name, valid)
    runtime.gc(conf, valid)
    return 0


def _kept(text: str, network: str, runtime: Runtime, ifname: str) -> set[AttachmentKey]:
    """What one `--keep` names: `CONTAINER[:IFNAME]`, or a namespace's path for its container.

    Without an interface it is all those that the cache knows, and the usual one.
    """
    named, colon, interface = text.partition(":")
    container = container_id(named) if "/" in named else named
    problem = name_problem(container) or (ifname_problem(interface) if colon else "")
    if problem:
        raise CniError(
            INVALID_ENVIRONMENT, f"--keep {text[:60]}: {problem}; expected CONTAINER[:IFNAME]"
        )
    if colon:
        return {AttachmentKey(container, interface)}
    known = {entry.key for entry in runtime.attachments(container, network)}
    return known | {AttachmentKey(container, ifname)}


def status(settings: Settings, network: str) -> int:
    """Ask whether the network could serve an `add`."""
    settings.runtime().status(settings.network(network))
    return 0
