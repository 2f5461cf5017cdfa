"""The plugin's configuration: rates and bursts in bits, as CNI has them, to what the kernel counts.

The rates come from the config, or, where it has none of the four keys, from the runtime
(`runtimeConfig.bandwidth`). Subnets come from the same place; where the runtime brings rates and no
subnets, the config's count, which the reference ignores then.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.ip import parse_network
from cni.jsonvalue import wrong_value
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Network
    from cni.jsonvalue import JsonObject
    from cni.result import Result

_MAX_U64 = 2**64 - 1
_SLOWEST = 8  # bits a second: the kernel counts bytes
NO_BURST = 2**31 - 1
"""From here on a burst in bits means that nobody has thought about it: 256 MB and more, of which a
container at 10 Mbit/s would send 200 MB at once. Runtimes write 2**31 - 1 (kubelet), 2**32 - 1
(containerd) and 2**35 - 1 (CRI-O) for "no burst given"."""
_RATES = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
_SUBNETS = ("shapedSubnets", "unshapedSubnets")


@record
class Limit:
    """rate: bytes a second. burst: bytes at once, 0 where nobody says how many."""

    rate: int
    burst: int


@record
class Config:
    """What is limited. ingress: towards the container. egress: from it. None: not at all.

    subnets: of the other side. excluded: they are what is not limited, else the only that is.
    """

    ingress: Limit | None = None
    egress: Limit | None = None
    subnets: tuple[Network, ...] = ()
    excluded: bool = False


def read_config(config: JsonObject) -> Config:
    """Check the whole configuration. Raises CniError(INVALID_CONFIG) that names the key."""
    runtime = config.object("runtimeConfig").object("bandwidth")
    own, asked = _limits(config), _limits(runtime)
    own_subnets, asked_subnets = _subnets(config), _subnets(runtime)
    if any(config.has(key) for key in _RATES):
        limits, subnets = own, own_subnets
    else:
        limits = asked
        subnets = asked_subnets if any(runtime.has(key) for key in _SUBNETS) else own_subnets
    return Config(limits[0], limits[1], subnets[0], excluded=subnets[1])


def _limits(config: JsonObject) -> tuple[Limit | None, Limit | None]:
    return _limit(config, "ingress"), _limit(config, "egress")


def _limit(config: JsonObject, direction: str) -> Limit | None:
    rate_key, burst_key = f"{direction}Rate", f"{direction}Burst"
    rate = config.integer(rate_key, 0, 0, _MAX_U64)
    burst = config.integer(burst_key, 0, 0, _MAX_U64)
    if not rate and burst:
        raise CniError(
            INVALID_CONFIG,
            f'key "{config.place(burst_key)}": found {burst} without a rate, expected '
            f'"{rate_key}" beside it: if burst is set, rate must also be set',
        )
    if not rate:
        return None
    if rate < _SLOWEST:
        raise config.wrong(rate_key, f"0 or an integer of at least {_SLOWEST}, in bits a second")
    return Limit(rate // 8, 0 if burst >= NO_BURST else (burst + 7) // 8)


def _subnets(config: JsonObject) -> tuple[tuple[Network, ...], bool]:
    shaped, unshaped = (_networks(config, key) for key in _SUBNETS)
    if shaped and unshaped:
        raise config.wrong(
            "unshapedSubnets",
            'none beside "shapedSubnets": unshapedSubnets and shapedSubnets cannot be both '
            "specified, one of them should be discarded",
        )
    return shaped or unshaped, bool(unshaped)


def _networks(config: JsonObject, key: str) -> tuple[Network, ...]:
    found: dict[Network, None] = {}
    for index, text in enumerate(config.strings(key)):
        try:
            found[parse_network(text)] = None
        except ValueError:
            raise wrong_value(
                f"{config.place(key)}[{index}]", text, "a subnet such as 10.1.0.0/16"
            ) from None
    return tuple(found)


def previous(call: Call) -> Result:
    """The previous result. Raises CniError(INVALID_CONFIG) where there is none."""
    if call.prev_result is None:
        raise CniError(
            INVALID_CONFIG,
            'key "prevResult": it is missing; bandwidth must come in a "plugins" list after the '
            "plugin that makes the interface",
        )
    return call.prev_result
