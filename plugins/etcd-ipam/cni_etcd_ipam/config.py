"""The plugin's configuration: the `ipam` section, and what a runtime asks for beside it."""

from __future__ import annotations

from cni.range_config import read_ranges
from cni.record import record
from wiring import etcd_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.range_config import RangeConfig
    from wiring.etcd_settings import Settings


@record
class Config:
    """What ADD, CHECK and STATUS work with. etcd: where the addresses are kept."""

    etcd: Settings
    ranges: RangeConfig


def read_config(call: Call) -> Config:
    """Check the whole configuration. Raises CniError that names the key or the argument."""
    ranges = read_ranges(call)
    return Config(read_settings(call), ranges)


def read_settings(call: Call) -> Settings:
    """Where the addresses are kept: all that DEL and GC need to know of a configuration.

    They must do their work even where the rest of it became wrong meanwhile. Raises
    CniError(INVALID_CONFIG).
    """
    return etcd_settings.read(call.config.object("ipam"), call.network)
