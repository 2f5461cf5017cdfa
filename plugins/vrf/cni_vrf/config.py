"""The plugin's configuration."""

from __future__ import annotations

from cni.errors import CniError
from cni.names import ifname_problem
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonObject

_MAX_U32 = 2**32 - 1


@record
class Config:
    """name: of the VRF in the container. table: its routing table, 0 for whichever is free."""

    name: str
    table: int = 0


def read_config(config: JsonObject) -> Config:
    """Check the whole configuration. Raises CniError(INVALID_CONFIG) that names the key."""
    name = config.required_string("vrfname")
    if ifname_problem(name):
        raise config.wrong("vrfname", "an interface name of at most 15 characters without '/'")
    return Config(name, config.integer("table", 0, 0, _MAX_U32))


def lenient_name(config: JsonObject) -> str:
    """The VRF's name as far as it can be read, empty where it cannot: for DEL."""
    try:
        return read_config(config).name
    except CniError:
        return ""
