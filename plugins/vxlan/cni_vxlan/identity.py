"""What identifies an overlay and its hosts: names, MACs, and the text by which links are ours.

All of it is computed and none of it kept: any host works out any other's MAC, and a device tells
by its alias (`ip link`) whose it is and which subnets it stands for.
"""

from __future__ import annotations

from _blake2 import blake2s

from cni.ip import parse_network
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.ip import Address, Network

_OURS = "pycni vxlan "
_LONGEST_NAME = 100
"""Of a network in an alias, which has room for 255 characters (IFALIASZ, linux/if.h), with two
subnets. A longer name is cut and told apart by its hash; `~` is in no network's name."""


@record
class Alias:
    """What an alias of ours says. name: the network's, as `shortened` has it."""

    name: str
    subnets: tuple[Network, ...] = ()

    def is_of(self, network: str) -> bool:
        """Whether it is this network's."""
        return self.name == shortened(network)

    def __str__(self) -> str:
        return _OURS + " ".join((self.name, *map(str, self.subnets)))


def shortened(network: str) -> str:
    """The network's name as aliases hold it: a long one is cut, and told apart by its hash."""
    if len(network) <= _LONGEST_NAME:
        return network
    digest = blake2s(network.encode(), digest_size=8).hexdigest()
    return f"{network[: _LONGEST_NAME - 17]}~{digest}"


def alias(network: str, subnets: Iterable[Network] = ()) -> str:
    """The alias of a link of this network; subnets: this host's, for a device of mode l3."""
    return str(Alias(shortened(network), tuple(subnets)))


def read_alias(text: str) -> Alias | None:
    """What an alias says; None for one that is not ours."""
    if not text.startswith(_OURS):
        return None
    name, *subnets = text[len(_OURS) :].split(" ")
    try:
        return Alias(name, tuple(map(parse_network, subnets)))
    except ValueError:
        return None


def device_name(vni: int) -> str:
    """The VXLAN device's: at most 13 characters."""
    return f"vxlan{vni}"


def bridge_name(vni: int) -> str:
    """The bridge's, where the config does not say one."""
    return f"vxbr{vni}"


def vtep_mac(node: str, vni: int, version: int) -> str:
    """The MAC of a host's VXLAN device.

    node: what names the host (with static peers the VTEP's address, with etcd the node's name).
    version: 4 or 6, the underlay's family. The same after a reboot, so that what the others have
    programmed stays right.
    """
    return _mac(f"vtep {node} {vni} {version}")


def gateway_mac(vni: int, gateway: Address) -> str:
    """The MAC of a bridge that is the gateway of a stretched segment.

    Hosts with the same gateway address share its MAC, so that a container may move between them and
    its neighbour entry stays right; hosts with different ones do not.
    """
    return _mac(f"gateway {gateway} {vni}")


def _mac(what: str) -> str:
    """A locally administered unicast address (IEEE 802, bits 1 and 0 of the first byte)."""
    digest = blake2s(what.encode(), digest_size=6, person=b"pycni vx").digest()
    return bytes([digest[0] & 0xFC | 0x02, *digest[1:]]).hex(":")
