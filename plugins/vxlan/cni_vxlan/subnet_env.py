"""flannel's contract with its CNI plugin: the file that flanneld writes once it has a lease.

    FLANNEL_NETWORK=10.244.0.0/16           all hosts; may hold several, separated by commas
    FLANNEL_SUBNET=10.244.1.1/24            this host's, written as its first address
    FLANNEL_IPV6_NETWORK, FLANNEL_IPV6_SUBNET
    FLANNEL_MTU=1450
    FLANNEL_IPMASQ=true                     whether flanneld masquerades what leaves the network

As flannel-io/cni-plugin reads it: either family may be missing, the other keys may not, unknown
lines are passed over.
"""

from __future__ import annotations

from cni.errors import DECODE_FAILURE, IO_FAILURE, TRY_AGAIN_LATER, CniError
from cni.ip import parse_network
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Network

_LONGEST = 65536
_NETWORKS = ("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK")
_SUBNETS = ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET")


@record
class SubnetEnv:
    """What the file says. mtu: bytes. masquerades: whether flanneld does it."""

    networks: tuple[Network, ...]
    subnets: tuple[Network, ...]
    mtu: int
    masquerades: bool


def read(path: str) -> SubnetEnv:
    """Read flanneld's file.

    Raises CniError: TRY_AGAIN_LATER where it is not there yet, IO_FAILURE where it cannot be read,
    DECODE_FAILURE naming what is wrong in it.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_LONGEST)
    except FileNotFoundError:
        raise CniError(
            TRY_AGAIN_LATER,
            f'key "peers.subnetFile": {path} does not exist, expected what flanneld writes once it '
            "has a lease: start flanneld, or correct the key",
        ) from None
    except UnicodeDecodeError as error:
        raise _wrong(path, f"byte {error.start} is no text", "lines of KEY=VALUE") from None
    except OSError as error:
        raise CniError(
            IO_FAILURE, f'key "peers.subnetFile": {path} cannot be read: {error.strerror}'
        ) from error
    return _parse(path, text)


def _parse(path: str, text: str) -> SubnetEnv:
    pairs = (line.partition("=") for line in text.splitlines())
    values = {key.strip(): value.strip() for key, equals, value in pairs if equals}
    networks = tuple(
        _network(path, key, part)
        for key in _NETWORKS
        for part in filter(None, values.get(key, "").split(","))
    )
    subnets = tuple(_network(path, key, values[key]) for key in _SUBNETS if values.get(key))
    for found, keys in ((networks, _NETWORKS), (subnets, _SUBNETS)):
        if not found:
            raise _wrong(path, f"{' and '.join(keys)} are missing", "at least one of them")
    for one in subnets:
        if not any(
            one.version == each.version and one.network_address in each for each in networks
        ):
            raise _wrong(
                path, f"the subnet {one}", f"one of {', '.join(map(str, networks))} to hold it"
            )
    if "FLANNEL_IPMASQ" not in values:
        raise _wrong(path, "FLANNEL_IPMASQ is missing", "true or false")
    mtu = values.get("FLANNEL_MTU", "")
    if not (mtu.isascii() and mtu.isdigit() and 68 <= int(mtu[:6]) <= 65535):
        raise _wrong(path, f"FLANNEL_MTU={mtu[:20]}", "an MTU from 68 to 65535")
    return SubnetEnv(
        tuple(dict.fromkeys(networks)), subnets, int(mtu), values["FLANNEL_IPMASQ"] == "true"
    )


def _network(path: str, key: str, text: str) -> Network:
    try:
        found = parse_network(text.strip())
    except ValueError:
        raise _wrong(path, f"{key}={text[:60]}", "a subnet such as 10.244.0.0/16") from None
    version = 6 if "IPV6" in key else 4
    if found.version != version:
        raise _wrong(path, f"{key}={text[:60]}", f"an IPv{version} subnet")
    return found


def _wrong(path: str, found: str, expected: str) -> CniError:
    return CniError(
        DECODE_FAILURE,
        f"flannel's file {path}: found {found}, expected {expected}: does flanneld's version fit?",
    )
