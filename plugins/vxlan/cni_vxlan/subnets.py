"""Which subnets a new node of an overlay takes, and what to say when there is none left."""

from __future__ import annotations

from cni.errors import NO_ADDRESS, CniError
from cni.ip import is_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from cni.ip import Network
    from cni_vxlan.etcd_layout import Keys, Node, SharedConfig

_NAMED = 5
"""How many nodes an error names."""


def choose(
    shared: SharedConfig, keys: Keys, name: str, taken: Collection[str]
) -> tuple[Network, ...] | None:
    """A subnet of each pool whose key is not taken; None where a pool has none left.

    Where a node begins to look follows from its name: nodes that come together seldom meet, and one
    that was given up and returns finds its old subnet if it is free. All families begin at one
    number, so that who has 10.1.7.0/24 mostly has fd00:1:0:7::/64 too.
    """
    pools = shared.each()
    start = first_number(name) % min((count_all(*pool) for pool in pools), default=1)
    found = []
    for pool, length in pools:
        for subnet in _subnets_from(pool, length, start):
            if keys.subnet(subnet) not in taken:
                found.append(subnet)
                break
        else:
            return None
    return tuple(found)


def first_number(name: str) -> int:
    """Where a node begins to look, of any size; to be taken modulo the number of subnets."""
    import zlib

    return zlib.crc32(name.encode())


def exhausted(shared: SharedConfig, network: str, keys: Keys, nodes: Collection[Node]) -> CniError:
    """The error for a node that finds no subnet. nodes: with whether they are alive."""
    dead = [node for node in nodes if not node.alive]
    pools = []
    for pool, length in shared.each():
        count = count_held(pool, nodes)
        pools.append(f"{count} of {count_all(pool, length)} subnets /{length} of {pool}")
    if dead:
        remedy = (
            f"no watcher lives on {_named(dead)}: free a dead node's with `cnitool overlay "
            f"reclaim {network} NODE`, or enlarge"
        )
    else:
        remedy = "all of them live: enlarge"
    return CniError(
        NO_ADDRESS,
        f'out of subnets for one more node of network "{network}": its {len(nodes)} nodes hold '
        f'{" and ".join(pools)}; {remedy} "network" (on all nodes, and in {keys.config})',
        f"the nodes: {', '.join(sorted(node.name for node in nodes))}",
    )


def _named(nodes: list[Node]) -> str:
    names = sorted(node.name for node in nodes)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def count_held(pool: Network, nodes: Iterable[Node]) -> int:
    """How many subnets of a pool nodes hold."""
    return sum(is_inside(subnet, pool) for node in nodes for subnet in node.subnets)


def count_all(pool: Network, length: int) -> int:
    """How many subnets of a length a pool has."""
    return 1 << (length - pool.prefixlen)


def _subnets_from(pool: Network, length: int, start: int) -> Iterator[Network]:
    """All subnets of a length in a pool, from number `start` on, and then those before it."""
    size = 1 << (pool.max_prefixlen - length)
    count = count_all(pool, length)
    for number in range(start, start + count):
        first = int(pool.network_address) + number % count * size
        yield type(pool)((first, length))
