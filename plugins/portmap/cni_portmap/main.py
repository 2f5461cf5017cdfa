"""`portmap`: the plugin's verbs, each loading what it needs when it needs it.

DEL looks at nothing but who is asked for, so it takes back the ports whatever became of the
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
    from cni_portmap.config import Config


def add(call: Call) -> Result:
    """Publish the ports; the previous result is handed on unchanged."""
    result, config = _previous(call), _config(call)
    if config.mappings:
        from cni_portmap import plan
        from wiring import backend

        addresses = plan.container_addresses(result, call.ifname)
        for mapping, why in plan.unreachable(config, addresses):
            what = f'key "{mapping.place}": host port {mapping.host_port} is not published'
            say(f'portmap on network "{call.network}": {what}: {why}\n')
        nl = backend.open_nftables(config.backend or backend.of_host())
        if nl is not None:
            from cni_portmap import publish

            with nl:
                publish.add(nl, call, config, result)
        else:
            from cni_portmap import by_iptables

            by_iptables.add(call, config, result)
    return result


def delete(call: Call) -> None:
    """Take back all ports of the attachment."""
    from cni_portmap import withdraw
    from hostnet import leaving
    from hostnet.nfowner import Owner

    leaving.mark(call.owner, call.outer_links())
    previous = call.prev_result.ips if call.prev_result is not None else ()
    withdraw.remove(Owner(call.owner), [str(one.address.ip) for one in previous])


def check(call: Call) -> None:
    """Compare with what ADD leaves."""
    from cni_portmap import check as checks

    checks.check(call, _config(call), _previous(call))


def gc(call: Call) -> None:
    """Take back the ports of this network's attachments that are not valid any more."""
    from cni_portmap import withdraw

    withdraw.sweep(call.network, {owner(call.network, one) for one in call.valid_attachments})


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE) where no rules can be laid down or the config is wrong."""
    try:
        config = _config(call)
        from cni_portmap import availability

        availability.require(config)
    except (CniError, OSError) as error:
        raise CniError(NOT_AVAILABLE, f"no port could be published: {error}") from error


def restore(call: Call) -> bool:
    """Publish again what the packet filter has lost of a running container's ports."""
    from cni_portmap import restore as restoring

    return restoring.restore(call, _config(call), _previous(call))


def _config(call: Call) -> Config:
    from cni_portmap.config import read

    return read(call.config)


def _previous(call: Call) -> Result:
    if call.prev_result is None:
        raise CniError(
            INVALID_CONFIG,
            'key "prevResult": it is missing; portmap must come in a "plugins" list after the '
            "plugin that gives the container its address",
        )
    return call.prev_result


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_portmap.explain import explain as told

    return told(call, _config(call), _previous(call))


PLUGIN = Plugin(
    "portmap",
    about("portmap"),
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
