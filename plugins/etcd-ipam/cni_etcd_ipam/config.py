"""The plugin's configuration: the `ipam` section, and what a runtime asks for beside it."""

from __future__ import annotations

from cni.range_config import read_requested, read_sets
from cni.record import record
from cni.wire import read_route
from wiring import etcd_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Address
    from cni.ranges import RangeSet
    from cni.result import Route
    from wiring.etcd_settings import Settings


@record
class Config:
    """What ADD, CHECK and STATUS work with.

    etcd: where the addresses are kept. sets: each gives one address. requested: the address asked
    for in the set of the same place, or None. resolv_conf: a path, empty for none.
    report_exhaustion: whether STATUS fails when a set is full.
    """

    etcd: Settings
    sets: tuple[RangeSet, ...]
    requested: tuple[Address | None, ...] = ()
    routes: tuple[Route, ...] = ()
    resolv_conf: str = ""
    report_exhaustion: bool = False


def read_config(call: Call) -> Config:
    """Check the whole configuration. Raises CniError that names the key or the argument."""
    sets = read_sets(call.config)
    ipam = call.config.object("ipam")
    return Config(
        etcd=read_settings(call),
        sets=sets,
        requested=read_requested(call, sets),
        routes=tuple(read_route(item) for item in ipam.objects("routes")),
        resolv_conf=ipam.string("resolvConf"),
        report_exhaustion=ipam.boolean("reportExhaustion"),
    )


def read_settings(call: Call) -> Settings:
    """Where the addresses are kept: all that DEL and GC need to know of a configuration.

    They must do their work even where the rest of it became wrong meanwhile. Raises
    CniError(INVALID_CONFIG).
    """
    return etcd_settings.read(call.config.object("ipam"), call.network)
