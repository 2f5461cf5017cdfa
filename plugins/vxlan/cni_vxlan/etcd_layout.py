"""What the nodes of an overlay tell each other through etcd: the keys, and values that are checked.

Below the network's prefix, each value a JSON object:

    config              what all nodes must agree about; the first node's counts
    subnets/10.1.2.0-24 {node, address, mac}: the node that holds this subnet (l3)
    nodes/NODE          {address, mac, subnets}: how the others reach it, and what is behind it
    alive/NODE          {machine, boot, address} on a lease: a watcher runs there, for information

Whoever may write to etcd must not be able to draw more into the tunnels than the overlay's own
addresses, so a node with a subnet outside the network's is no node.
"""

from __future__ import annotations

from cni import jsontext
from cni.errors import INVALID_CONFIG, CniError
from cni.ip import is_inside, parse_network
from cni.jsonvalue import parse_object
from cni.names import name_problem
from cni.record import record
from cni_vxlan.peers import Etcd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Address, Network
    from cni.jsonvalue import JsonObject, JsonValue
    from cni_vxlan.overlay import Overlay


@record
class SharedConfig:
    """What all nodes of a network must agree about.

    port: UDP. family: 4 or 6, the underlay's. pools: the networks of which each node gets a
    subnet, none in l2. lengths: the prefix length of these subnets, one for each pool.
    """

    vni: int
    mode: str
    port: int
    family: int
    pools: tuple[Network, ...] = ()
    lengths: tuple[int, ...] = ()

    def document(self) -> dict[str, JsonValue]:
        """As `config` holds it, with the names of the network configuration's keys."""
        lengths = {str(pool.version): length for pool, length in self.each()}
        return {
            "vni": self.vni,
            "mode": self.mode,
            "port": self.port,
            "underlay": f"IPv{self.family}",
            "network": [*sorted(str(pool) for pool in self.pools)],
            "subnetLength": {version: lengths[version] for version in sorted(lengths)},
        }

    def each(self) -> list[tuple[Network, int]]:
        """Each pool with its subnets' prefix length."""
        return list(zip(self.pools, self.lengths, strict=True))

    def problem(self, subnet: Network) -> str:
        """Why no node can hold this subnet, empty if one can."""
        for pool, length in self.each():
            if subnet.prefixlen == length and is_inside(subnet, pool):
                return ""
        pools = ", ".join(f"/{length} of {pool}" for pool, length in self.each())
        return f"{subnet} is none of the network's subnets" + (f" ({pools})" if pools else "")


def shared_config(overlay: Overlay, family: int) -> SharedConfig:
    """What the nodes of an overlay with etcd peers must agree about. family: of the underlay."""
    lengths = dict(overlay.peers.lengths) if isinstance(overlay.peers, Etcd) else {}
    return SharedConfig(
        overlay.vni,
        overlay.mode,
        overlay.port,
        family,
        overlay.pools,
        tuple(lengths[pool.version] for pool in overlay.pools),
    )


@record
class Node:
    """A node as etcd has it. address: its VTEP's. revision: of its key. alive: if it was asked."""

    name: str
    address: Address
    mac: str
    subnets: tuple[Network, ...] = ()
    revision: int = 0
    alive: bool = False

    def document(self) -> str:
        """The value of its key."""
        return jsontext.dumps(
            {
                "address": str(self.address),
                "mac": self.mac,
                "subnets": [str(subnet) for subnet in self.subnets],
            }
        )

    def subnet_document(self) -> str:
        """The value of the keys of its subnets."""
        return jsontext.dumps({"node": self.name, "address": str(self.address), "mac": self.mac})


class Keys:
    """The names of a network's keys. prefix: `/pycni/NETWORK`."""

    def __init__(self, prefix: str) -> None:
        top = prefix.rstrip("/")
        self.config = f"{top}/config"
        self.nodes = f"{top}/nodes/"
        self.subnets = f"{top}/subnets/"
        self.all_alive = f"{top}/alive/"

    def node(self, name: str) -> str:
        return self.nodes + name

    def alive(self, name: str) -> str:
        return self.all_alive + name

    def subnet(self, subnet: Network) -> str:
        """Without a slash, so that one level of keys stays one level."""
        return self.subnets + str(subnet).replace("/", "-")


def parse_value(key: str, value: str) -> JsonObject:
    """The object that is a key's value. Raises CniError that names the key."""
    return parse_object(value.encode(errors="surrogateescape"), f"etcd's {key}")


def parse_node(shared: SharedConfig, name: str, value: str, revision: int) -> Node:
    """A node from its name and its key's value.

    Raises CniError where this network can have no such node.
    """
    problem = name_problem(name)
    if problem:
        raise CniError(INVALID_CONFIG, f"a node's name: {problem}")
    found = parse_value(f"node {name}", value)
    try:
        address = found.address("address")
        if address is None or address.version != shared.family or not _is_of_a_host(address):
            raise found.wrong("address", f"the IPv{shared.family} address of a host")
        mac = found.mac("mac")
        if not mac:
            raise found.wrong("mac", "a hardware address")
        return Node(name, address, mac, _parse_subnets(shared, found), revision)
    except CniError as error:
        raise CniError(error.code, f"etcd's node {name}: {error.msg}") from None


def _is_of_a_host(address: Address) -> bool:
    return not (address.is_multicast or address.is_unspecified or address.is_loopback)


def _parse_subnets(shared: SharedConfig, found: JsonObject) -> tuple[Network, ...]:
    subnets = []
    for text in found.strings("subnets"):
        try:
            subnet = parse_network(text)
            problem = shared.problem(subnet)
        except ValueError as error:
            problem = str(error)
        else:
            subnets.append(subnet)
        if problem:
            raise CniError(INVALID_CONFIG, f'key "subnets": {problem}')
    return tuple(subnets)
