"""The plugin's configuration: its keys, and what `args`, the runtime and CNI_ARGS put over them.

For the MAC the order is the reference's: the config's key, CNI_ARGS, `runtimeConfig`, `args.cni`,
the last one that has it.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.record import record, replace
from cni_tuning.attributes import Attributes
from cni_tuning.backup import read_data_dir
from cni_tuning.sysctls import read_sysctls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.jsonvalue import JsonObject
    from cni.result import Result
    from cni_tuning.sysctls import Sysctl

_MIN_MTU = 68  # RFC 791: what every IPv4 link must carry
_MIN_IPV6_MTU = 1280  # RFC 8200; below it the kernel takes IPv6 off the link
_MAX_MTU = 65535
_MAX_QUEUE = 2**32 - 1


@record
class Config:
    """sysctls: in the order of the config. data_dir: where what an interface had before is kept."""

    sysctls: tuple[Sysctl, ...]
    attributes: Attributes
    data_dir: str


def read_config(call: Call) -> Config:
    """Check the whole configuration.

    Raises CniError: INVALID_CONFIG names the key, INVALID_ENVIRONMENT the argument.
    """
    config = call.config
    args = config.object("args").object("cni")
    own, asked = _attributes(config), _attributes(args)
    wanted = replace(
        asked.otherwise(own),
        mac=_mac(call, args),
        mtu=asked.mtu if args.has("mtu") else own.mtu,
    )
    return Config(
        sysctls=read_sysctls(call, config, args),
        # As in the reference, "promisc": false leaves it as it is.
        attributes=replace(wanted, promisc=wanted.promisc or None),
        data_dir=read_data_dir(config),
    )


def _attributes(config: JsonObject) -> Attributes:
    """All but the MAC."""
    return Attributes(
        mtu=_mtu(config),
        promisc=_switch(config, "promisc"),
        allmulti=_switch(config, "allmulti"),
        tx_queue=config.integer("txQLen", None, 0, _MAX_QUEUE),
    )


def previous(call: Call) -> Result:
    """The previous result. Raises CniError(INVALID_CONFIG) where there is none."""
    if call.prev_result is None:
        raise CniError(
            INVALID_CONFIG,
            'key "prevResult": it is missing; tuning must come in a "plugins" list after the '
            "plugin that makes the interface",
        )
    return call.prev_result


def require_mtu_for_ipv6(config: Config, result: Result) -> None:
    """Raise CniError(INVALID_CONFIG) for an MTU with which the container would lose IPv6."""
    if 0 < config.attributes.mtu < _MIN_IPV6_MTU and any(
        one.address.version == 6 for one in result.ips
    ):
        raise CniError(
            INVALID_CONFIG,
            f'key "mtu": found {config.attributes.mtu}, expected at least {_MIN_IPV6_MTU} with '
            "IPv6 addresses",
        )


def _mac(call: Call, args: JsonObject) -> str:
    """All places are read, so that a wrong value is told even where another goes before it."""
    own, runtime = call.config.mac("mac"), call.config.object("runtimeConfig").mac("mac")
    return args.mac("mac") or runtime or call.mac_argument() or own


def _mtu(config: JsonObject) -> int:
    mtu = config.integer("mtu", 0, 0, _MAX_MTU)
    if 0 < mtu < _MIN_MTU:
        raise config.wrong("mtu", f"0 or an integer from {_MIN_MTU} to {_MAX_MTU}")
    return mtu


def _switch(config: JsonObject, key: str) -> bool | None:
    return config.boolean(key) if config.has(key) else None
