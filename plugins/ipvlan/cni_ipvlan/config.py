"""The configuration of `ipvlan`, read once and frozen: every key of the reference."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.record import record, replace
from hostnet.sublink import IPVLAN_MODES
from wiring import keys
from wiring.single import lower
from wiring.single.attach import Common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from wiring.single.lower import Lower

_DEFAULT_MODE = "l2"


@record
class Ipvlan:
    """What the network asks for. lower: the link below. mode: of `sublink.IPVLAN_MODES`."""

    common: Common
    lower: Lower
    mode: str = _DEFAULT_MODE


def read(call: Call) -> Ipvlan:
    """Read and check the whole config. Raises CniError(INVALID_CONFIG), which names the key."""
    config = call.config
    return Ipvlan(
        common=Common(
            ipam=keys.ipam_plugin(call),
            dns=keys.dns(config),
            mtu=keys.mtu(config),
            enable_dad=keys.enable_dad(config),
        ),
        lower=lower.read(config),
        mode=config.choice("mode", tuple(IPVLAN_MODES), _DEFAULT_MODE),
    )


def chained(found: Ipvlan, previous: Result | None) -> Ipvlan:
    """The config with the master that the plugin before has told, where `master` does not say it.

    Raises CniError(INVALID_CONFIG) where it told not exactly one.
    """
    if found.lower.name or previous is None:
        return found
    names = [one.name for one in previous.interfaces]
    if len(names) != 1 or not names[0]:
        raise CniError(
            INVALID_CONFIG,
            f'key "master": it is missing, and the previous result has the interfaces {names}, '
            "expected exactly one to sit on: name the master",
        )
    return replace(found, lower=replace(found.lower, name=names[0]))
