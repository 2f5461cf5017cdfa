"""The plugin's configuration: the `ipam` section, and what a runtime asks for beside it.

Whether a config is right does not depend on its `cniVersion`: what a version cannot say is found
when the result is written.
"""

from __future__ import annotations

import os

from cni.range_config import read_requested, read_sets
from cni.record import record
from cni.wire import read_route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Address
    from cni.ranges import RangeSet
    from cni.result import Route

DATA_DIR = "/var/lib/cni/networks"


@record
class Config:
    """What ADD, CHECK and STATUS work with.

    directory: the network's, which holds a file for each address. sets: each gives one address.
    requested: the address asked for in the set of the same place, or None. resolv_conf: a path,
    empty for none. report_exhaustion: whether STATUS fails when a set is full.
    """

    directory: str
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
        directory=read_directory(call),
        sets=sets,
        requested=read_requested(call, sets),
        routes=tuple(read_route(item) for item in ipam.objects("routes")),
        resolv_conf=ipam.string("resolvConf"),
        report_exhaustion=ipam.boolean("reportExhaustion"),
    )


def read_directory(call: Call) -> str:
    """The network's own directory: all that DEL and GC need to know of a configuration.

    They must do their work even where the rest of it became wrong meanwhile. The network's name
    is checked by the door. Raises CniError(INVALID_CONFIG).
    """
    data_dir = call.config.object("ipam").string("dataDir") or DATA_DIR
    return os.path.join(data_dir, call.network)
