"""What a shell offers after `cnitool ... <Tab>`: words of the grammar, and names from this host.

argcomplete walks the grammar; here is only what it cannot know. It is imported when a shell asks,
by the variable that its functions set (`packaging/documents.py` writes them).
"""

from __future__ import annotations

import argparse
import os

from cni.errors import CniError
from cnitool.settings import read_settings
from libcni.cache import Cache
from libcni.confdir import load_networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from cnitool.settings import Settings
    from libcni.cache import CachedAttachment

    class Completer(Protocol):
        """argcomplete passes more, by name."""

        def __call__(self, prefix: str, **more: object) -> list[str]: ...


_ASKED = "_ARGCOMPLETE"
_NAMESPACES = "/run/netns"


def answer(parser: argparse.ArgumentParser) -> None:
    """Answer a shell and end; return at once where none asks."""
    if _ASKED not in os.environ:
        return
    import argcomplete

    _teach(parser)
    # cnitool's own errors are for people: nothing of them belongs on a line being typed.
    argcomplete.autocomplete(parser, always_complete_options="long")


def _teach(parser: argparse.ArgumentParser) -> None:
    """Hang a completer on each argument, of subcommands too, that names a thing of this host."""
    for action in parser._actions:  # argparse shows them no other way; argcomplete reads them too
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _teach(below)
        elif action.dest in _NAMES:
            vars(action)["completer"] = _completer(_NAMES[action.dest])
        elif action.dest == "cache_dir":
            vars(action)["completer"] = _directories


def _completer(names: Callable[[Settings], Iterator[str]]) -> Completer:
    def complete(prefix: str, **more: object) -> list[str]:
        del more
        try:
            settings = read_settings(os.environ, "", "", 0)
            return sorted({one for one in names(settings) if one.startswith(prefix)})
        except (CniError, OSError):  # what cannot be read has no names
            return []

    return complete


def _directories(prefix: str, **more: object) -> list[str]:
    del more
    from argcomplete.completers import DirectoriesCompleter

    found: list[str] = list(DirectoriesCompleter()(prefix))
    return found


def _networks(settings: Settings) -> Iterator[str]:
    found, _ = load_networks(settings.conf_dir)
    yield from (one.name for one in found)


def _cached(settings: Settings) -> list[CachedAttachment]:
    return Cache(settings.cache_dir).scan()[0]


def _containers(settings: Settings) -> Iterator[str]:
    yield from (one.container_id for one in _cached(settings))


def _namespaces(settings: Settings) -> Iterator[str]:
    yield from (one.netns for one in _cached(settings) if one.netns)
    if os.path.isdir(_NAMESPACES):
        yield from (f"{_NAMESPACES}/{name}" for name in os.listdir(_NAMESPACES))


_NAMES: dict[str, Callable[[Settings], Iterator[str]]] = {
    "network": _networks,
    "netns": _namespaces,
    "what": _containers,
    "keep": _containers,
}
"""By an argument's name in `cnitool.commands`."""
