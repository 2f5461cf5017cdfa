"""`bandwidth`: the plugin's verbs, each loading what it needs when it needs it."""

from __future__ import annotations

from cni import about
from cni.errors import NOT_AVAILABLE, CniError
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result


def add(call: Call) -> Result:
    """Limit what the container receives and sends; the previous result with the device for it."""
    from cni_bandwidth import config as configs

    config, result = configs.read_config(call.config), configs.previous(call)
    if config.ingress is None and config.egress is None:
        return result
    from cni_bandwidth import attach

    return attach.add(call, config, result)


def delete(call: Call) -> None:
    """Lift the limits, whatever the config says today."""
    from cni_bandwidth import detach

    detach.delete(call)


def check(call: Call) -> None:
    """Compare with what ADD leaves."""
    from cni_bandwidth import config as configs

    config, result = configs.read_config(call.config), configs.previous(call)
    if config.ingress is not None or config.egress is not None:
        from cni_bandwidth import check as checks

        checks.check(call, config, result)


def gc(call: Call) -> None:
    """Remove what attachments that are not valid any more have."""
    from cni_bandwidth import detach

    detach.gc(call)


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE) where the config is wrong or the kernel lacks the device."""
    from cni_bandwidth.config import read_config

    try:
        if read_config(call.config).egress is not None:
            from hostnet.netlink import Netlink
            from wiring.single.status import require_kind

            with Netlink() as nl:
                require_kind(nl, "ifb")
    except (CniError, OSError) as error:
        raise CniError(NOT_AVAILABLE, f"an ADD would fail: {error}") from error


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni.explained import KEEPS, SETS, Explained, Step
    from cni_bandwidth.config import previous, read_config

    config, result = read_config(call.config), previous(call)
    steps = []
    for name, limit, where in (
        ("ingress", config.ingress, "on the host's end of the container's pair"),
        ("egress", config.egress, "on an ifb device to which what it sends is redirected"),
    ):
        if limit is not None:
            steps.append(Step(SETS, name, f"{limit.rate * 8} bit/s", where))
    if not steps:
        text = "neither the config nor the runtime names a rate"
        steps.append(Step(KEEPS, "rates", "none", text))
    return Explained(tuple(steps), result)


PLUGIN = Plugin(
    "bandwidth",
    about("bandwidth"),
    add,
    delete,
    check,
    gc,
    status,
    explain=explain,
)
