"""The call that the IPAM plugin sees: the caller's, with what the overlay knows filled in.

All verbs go through here, so that DEL releases by what ADD allocated by. In mode l3 the ranges are
the host's subnets; in mode l2 with etcd the connection is that of `peers`, unless `ipam` says its
own.
"""

from __future__ import annotations

from cni import jsontext
from cni.errors import CniError
from cni.record import replace
from cni_vxlan.peers import default_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.call import Call
    from cni.ip import Network
    from cni.jsonvalue import JsonObject, JsonValue

HOST_LOCAL = "host-local"
ETCD_IPAM = "etcd-ipam"
_RANGE_KEYS = ("ranges", "subnet", "rangeStart", "rangeEnd", "gateway")
_CONNECTION = (
    "endpoints",
    "prefix",
    "node",
    "ca",
    "cert",
    "key",
    "user",
    "password",
    "passwordFile",
)
_OF_ACCESS = ("ca", "cert", "key", "user", "password", "passwordFile")


def refuse_ranges(config: JsonObject) -> None:
    """What `ipam` must not say in mode l3. Raises CniError(INVALID_CONFIG)."""
    ipam = config.object("ipam")
    for key in _RANGE_KEYS:
        if ipam.has(key):
            raise ipam.wrong(
                key, 'nothing in mode "l3": the ranges are this host\'s subnets of the overlay'
            )
    if ipam.string("type") == ETCD_IPAM:
        raise ipam.wrong(
            "type",
            f'"{HOST_LOCAL}" in mode "l3": addresses of the whole cluster are for mode "l2"',
        )


def with_subnets(call: Call, subnets: Iterable[Network] = ()) -> Call:
    """The call in mode l3; without subnets (a DEL need not know them) it names no range."""
    given = call.config.object("ipam").raw
    ipam = _without(given, ("type", *_RANGE_KEYS))
    ipam["type"] = call.config.object("ipam").string("type") or HOST_LOCAL
    ranges: list[JsonValue] = [[{"subnet": str(one)}] for one in subnets]
    if ranges:
        ipam["ranges"] = ranges
    return _with_ipam(call, ipam)


def with_connection(call: Call) -> Call:
    """The call in mode l2: etcd-ipam gets the connection of etcd peers, key by key.

    What gives access goes together: an `ipam` with a user of its own does not get the peers'
    certificate.
    """
    ipam, peers = call.config.object("ipam"), call.config.object("peers")
    if ipam.string("type") != ETCD_IPAM or peers.string("type") != "etcd":
        return call
    own_access = any(map(ipam.has, _OF_ACCESS))
    filled = dict(ipam.raw)
    for key in _CONNECTION:
        if peers.has(key) and not ipam.has(key) and not (own_access and key in _OF_ACCESS):
            filled = {**_without(filled, (key,)), key: peers.get(key)}
    return _with_ipam(call, filled)


def lenient(call: Call) -> Call:
    """The call of a DEL or GC, under whatever the config has become."""
    try:
        engine = call.config.object("peers").string("type") or "static"
        if (call.config.string("mode") or default_mode(engine)) == "l3":
            return with_subnets(call)
        return with_connection(call)
    except CniError:
        return call


def _without(raw: dict[str, JsonValue], keys: Iterable[str]) -> dict[str, JsonValue]:
    """A copy without these keys, in whatever case they are written."""
    gone = {key.casefold() for key in keys}
    return {key: value for key, value in raw.items() if key.casefold() not in gone}


def _with_ipam(call: Call, ipam: dict[str, JsonValue]) -> Call:
    config = call.config.replaced("ipam", ipam)
    return replace(call, config=config, stdin=jsontext.dumps(config.raw).encode())
