"""A finding, and what all checks look at."""

from __future__ import annotations

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cnitool.settings import Settings
    from cnitool.state.world import World

ERROR, WARNING, NOTE, OK = "error", "warning", "note", "ok"


@record
class Finding:
    """level: ERROR (containers fail), WARNING (some will), NOTE (good to know), OK.

    text: what was found. remedy: a command, a key or a file that mends it; empty where all is well.
    """

    level: str
    area: str
    text: str
    remedy: str = ""


@record
class Host:
    """What is known when a check begins. plugins: the types that the networks' files name, the
    IPAM plugins too."""

    settings: Settings
    seen: World
    plugins: frozenset[str]

    def uses(self, *plugins: str) -> bool:
        """Whether a network of this host uses one of these."""
        return not self.plugins.isdisjoint(plugins)
