"""`cnitool heal`: give running containers back what the host's packet filter has lost, once."""

from __future__ import annotations

import json
import os
import sys

from cni.bundle import Bundle
from cni.errors import INVALID_ENVIRONMENT, CniError
from cni.execute import find
from cni_bridge.main import PLUGIN as BRIDGE
from cni_firewall.main import PLUGIN as FIREWALL
from cni_portmap.main import PLUGIN as PORTMAP
from cni_ptp.main import PLUGIN as PTP
from cni_vxlan.main import PLUGIN as VXLAN
from libcni.heal import Healer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cni.jsonvalue import JsonValue
    from cni.skel import Plugin
    from cnitool.settings import Settings
    from libcni.heal import Healed, Report

_DAEMON = "cnid"
_PLUGINS = (BRIDGE, FIREWALL, PORTMAP, PTP, VXLAN)


def run(settings: Settings, network: str, *, dry_run: bool, as_json: bool) -> int:
    """Heal all attachments, or those of a network; 1 where something could not be healed.

    Raises CniError(INVALID_ENVIRONMENT) where CNI_PATH has nothing of this suite.
    """
    found = healer(settings).look(network, dry_run=dry_run)
    if as_json:
        sys.stdout.write(json.dumps(_document(found, dry_run), indent=4) + "\n")
    else:
        sys.stdout.write(_text(found, dry_run) + "\n")
        for problem in found.problems:
            sys.stderr.write(f"{problem}\n")
    return 1 if found.problems else 0


def healer(settings: Settings) -> Healer:
    """Of the attachments in the settings' cache.

    Raises CniError(INVALID_ENVIRONMENT) where CNI_PATH has nothing of this suite.
    """
    bundle = Bundle({one.name: _giving(one) for one in _PLUGINS}, _executable(settings))
    return Healer(bundle, settings.path, [settings.cache_dir], settings.environ)


def _giving(plugin: Plugin) -> Callable[[], Plugin]:
    return lambda: plugin


def _executable(settings: Settings) -> str:
    """The file that all plugins of this suite are, under another name."""
    beside = os.path.dirname(os.path.abspath(sys.argv[0]))
    places = (*settings.path, beside)
    try:
        return find(_DAEMON, places)
    except CniError:
        raise CniError(
            INVALID_ENVIRONMENT,
            f"CNI_PATH: found {_DAEMON} in none of {', '.join(places)}, expected a directory with "
            "the plugins of this suite: others' are not healed",
        ) from None


def _document(found: Report, dry_run: bool) -> JsonValue:
    return {
        "dryRun": dry_run,
        "running": found.running,
        "gone": found.gone,
        "healed": [
            {
                "network": one.network,
                "containerID": one.container_id,
                "ifname": one.ifname,
                "plugins": [*one.plugins],
                "acts": [*one.acts],
            }
            for one in found.healed
        ],
        "problems": [*found.problems],
        "seconds": found.seconds,
    }


def _text(found: Report, dry_run: bool) -> str:
    lines = [_line(one) for one in found.healed]
    lost = len(found.healed)
    done = "would get it back" if dry_run else "have it again"
    what = f"{lost} had lost something and {done}" if lost else "none has lost anything"
    gone = f"; {found.gone} in the cache do not run" if found.gone else ""
    return "\n".join((*lines, f"{found.running} attachments run, {what}{gone}"))


def _line(one: Healed) -> str:
    where = f"{one.network} {one.container_id} {one.ifname}"
    return f"{where}: {', '.join(one.plugins)}: {'; '.join(one.acts)}"
