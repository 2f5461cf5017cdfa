"""`firewall`: the plugin's verbs, each loading what it needs when it needs it.

DEL looks at nothing but who is asked for, so it takes back what there is whatever became of the
config, the container, its namespace and the previous result.
"""

from __future__ import annotations

from cni import about
from cni.call import owner
from cni.errors import INVALID_CONFIG, NOT_AVAILABLE, CniError
from cni.skel import Plugin
from cni.stderr import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result
    from cni_firewall.config import Config


def add(call: Call) -> Result:
    """Let the container through; the previous result is handed on unchanged."""
    from cni_firewall import admit

    result = _previous(call)
    admit.add(call, _config(call), result)
    return result


def delete(call: Call) -> None:
    """Take back all that the attachment has."""
    from cni_firewall import withdraw
    from hostnet import leaving

    leaving.mark(call.owner, call.outer_links())
    previous = call.prev_result.ips if call.prev_result is not None else ()
    addresses = [f"{one.address.ip}/{one.address.max_prefixlen}" for one in previous]
    withdraw.remove(call.environ, call.owner, addresses)


def check(call: Call) -> None:
    """Compare with what ADD leaves."""
    from cni_firewall import check as checks

    checks.check(call, _config(call), _previous(call))


def gc(call: Call) -> None:
    """Take back what this network's attachments have that are not valid any more."""
    from cni_firewall import withdraw

    valid = {owner(call.network, one) for one in call.valid_attachments}
    withdraw.sweep(call.environ, call.network, valid)


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE) where an ADD would fail."""
    try:
        config = _config(call)
        from cni_firewall import availability

        availability.require(call, config)
    except (CniError, OSError) as error:
        raise CniError(NOT_AVAILABLE, f"an ADD would fail: {error}") from error


def restore(call: Call) -> bool:
    """Let a running container through again where the packet filter has lost it."""
    from cni_firewall import restore as restoring

    return restoring.restore(call, _config(call), _previous(call))


def _config(call: Call) -> Config:
    from cni_firewall.config import read

    def tell(problem: str) -> None:
        if call.command == "ADD":
            say(f'firewall on network "{call.network}": {problem}; the default is taken\n')

    return read(call.config, unknown=tell)


def _previous(call: Call) -> Result:
    if call.prev_result is None:
        raise CniError(
            INVALID_CONFIG,
            'key "prevResult": it is missing; firewall must come in a "plugins" list after the '
            "plugin that gives the container its address",
        )
    return call.prev_result


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_firewall.explain import explain as told

    return told(call, _config(call), _previous(call))


PLUGIN = Plugin(
    "firewall",
    about("firewall"),
    add,
    delete,
    check,
    gc,
    status,
    restore=restore,
    needs=("CAP_NET_ADMIN",),
    enters=False,
    explain=explain,
)
