"""The plugin's configuration: the `ipam` section, and what a runtime asks for beside it.

Whether a config is right does not depend on its `cniVersion`: what a version cannot say is found
when the result is written.
"""

from __future__ import annotations

import os

from cni.errors import CniError
from cni.jsonvalue import wrong_value
from cni.range_config import read_ranges
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.range_config import RangeConfig

DATA_DIR = "/var/lib/cni/networks"
_RELEASE = "releaseOnReboot"


@record
class Config:
    """What ADD, CHECK and STATUS work with.

    directory: the network's, which holds a file for each address. release: whether what earlier
    boots of this machine have left is released. workload: what says whose the addresses are, over
    DEL and reboot; empty where nothing does.
    """

    directory: str
    ranges: RangeConfig
    release: bool
    workload: tuple[str, ...] = ()


def read_config(call: Call) -> Config:
    """Check the whole configuration. Raises CniError that names the key or the argument."""
    ranges = read_ranges(call)
    release = call.config.object("ipam").boolean(_RELEASE, default=True)
    return Config(read_directory(call), ranges, release, _read_workload(call))


def _read_workload(call: Call) -> tuple[str, ...]:
    """The network, and the values of the CNI_ARGS keys that `sticky` names, if all are there."""
    ipam = call.config.object("ipam")
    keys = ipam.strings("sticky")
    for index, key in enumerate(keys):
        if not key or "=" in key or ";" in key:
            place = f"{ipam.place('sticky')}[{index}]"
            raise wrong_value(place, key, "the name of a CNI_ARGS key such as K8S_POD_NAME")
    values = [call.args.get(key, "") for key in keys]
    return (call.network, *values) if keys and all(values) else ()


def read_directory(call: Call) -> str:
    """The network's own directory: all that DEL and GC need to know of a configuration.

    They must do their work even where the rest of it became wrong meanwhile. The network's name
    is checked by the door. Raises CniError(INVALID_CONFIG).
    """
    data_dir = call.config.object("ipam").string("dataDir") or DATA_DIR
    return os.path.join(data_dir, call.network)


def read_release(call: Call) -> bool:
    """The same as `Config.release`, for DEL and GC; false where what it says is wrong."""
    try:
        return call.config.object("ipam").boolean(_RELEASE, default=True)
    except CniError:
        return False
