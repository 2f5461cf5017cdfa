"""CHECK: every limit, filter and redirection of the attachment, each deviation named."""

from __future__ import annotations

from cni.errors import CHECK_FAILED, CniError
from cni_bandwidth import device, names, shape
from cni_bandwidth.attach import require_port
from hostnet.netlink import Netlink
from wiring import compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni.result import Result
    from cni_bandwidth.config import Config
    from hostnet.link import Link


def check(call: Call, config: Config, result: Result) -> None:
    """Raise CniError(CHECK_FAILED) with all that is not as ADD left it."""
    with Netlink() as nl:
        try:
            port = require_port(nl, call, result)
        except CniError as error:
            raise CniError(CHECK_FAILED, error.msg) from error
        found = list(_problems(nl, call, config, result, port))
    if found:
        raise CniError(CHECK_FAILED, "; ".join(found))


def _problems(nl: Netlink, call: Call, config: Config, result: Result, port: Link) -> Iterator[str]:
    if config.ingress is not None:
        wanted = shape.shape(config.ingress, config, port.mtu, ingress=True)
        yield from shape.problems(nl, port.index, port.name, wanted)
    if config.egress is None:
        return
    made = device.find(nl, call)
    if made is None:
        yield f"host interface {names.own(call.owner)} does not exist"
        return
    if not made.up:
        yield f"host interface {made.name} is down"
    reported = compare.reported(result, made.name, inside=False)
    yield from compare.mac_problem(made, reported)
    yield from compare.mtu_problem(made, reported, port.mtu)
    wanted = shape.shape(config.egress, config, made.mtu, ingress=False)
    yield from shape.problems(nl, made.index, made.name, wanted)
    if made.index not in device.leads_to(nl, port):
        yield f"what comes in at {port.name} is not redirected to {made.name}"
