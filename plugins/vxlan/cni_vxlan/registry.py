"""A network's place in etcd, and how no node takes what is another's: reads and transactions.

A node's `nodes/` and `subnets/` keys (see `etcd_layout`) come and go in one transaction, so that no
crash leaves half of them, and none of them expires: a subnet under running containers must outlive
etcd's clock, the node's reboot and a night without a network (flannel#621 and #904 tell what
happens else). They go when an administrator says that the node is dead, see `Registry.reclaim`.

Errors of etcd's pass through as they are (`EtcdError`, any method may raise one); what is wrong
with what it holds is a `CniError`.
"""

from __future__ import annotations

from cni import jsontext
from cni.errors import IN_THE_WAY, INVALID_CONFIG, TRY_AGAIN_LATER, CniError
from cni.jsonvalue import shown
from cni.names import name_problem
from cni.record import record, replace
from cni_vxlan import peers
from cni_vxlan.etcd_layout import Keys, Node, parse_node, parse_value, shared_config
from cni_vxlan.origin import this_host
from cni_vxlan.subnets import choose, count_all, count_held, exhausted
from etcd_json import absent, delete, get, put, unchanged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from cni.ip import Address, Network
    from cni_vxlan.etcd_layout import SharedConfig
    from cni_vxlan.origin import Origin
    from cni_vxlan.overlay import Overlay
    from etcd_json import Etcd, Event, KeyValue, Op

ALIVE_SECONDS = 30
"""So long after its watcher's last sign a node counts as dead."""
_ATTEMPTS = 1000
"""Each that fails is another node's success: many are many nodes, and no reason to give up."""


@record
class Holding:
    """What etcd says about subnets that a node takes for its own.

    node: its record, None where there is none. problem: why they are not its own any more, empty
    if they are. is_ours: whether the last sign of life under the node's name is this host's, of
    this boot; true where there is none, too. address: in this sign.
    """

    node: Node | None
    problem: str
    is_ours: bool = True
    address: str = ""


class Registry:
    """What etcd knows about a network, and what a node may do to it.

    network: its name. prefix: of its keys. origin: who this is, by default this host.
    """

    def __init__(
        self,
        etcd: Etcd,
        network: str,
        prefix: str,
        shared: SharedConfig,
        origin: Origin | None = None,
    ) -> None:
        self.keys = Keys(prefix)
        self._etcd = etcd
        self._network = network
        self._shared = shared
        self._origin = origin or this_host()

    # ---- the network

    def agree(self) -> None:
        """Write down what this node takes the network for, or compare it with what stands there.

        Raises CniError(INVALID_CONFIG) that names each difference.
        """
        key = self.keys.config
        stored = self._etcd.get(key)
        if stored is None:
            write = [put(key, jsontext.dumps(self._shared.document()))]
            outcome = self._etcd.transact([absent(key)], write, [get(key)])
            if outcome.succeeded:
                return
            stored = outcome.found[0][0]
        self._compare(stored)

    def _compare(self, stored: KeyValue) -> None:
        key, ours = stored.key, self._shared.document()
        theirs = parse_value(key, stored.value)
        different = [name for name in ours if ours[name] != theirs.get(name)]
        if different:
            listed = ", ".join(
                f"{name} is {shown(ours[name])} here and {shown(theirs.get(name))} there"
                for name in different
            )
            raise CniError(
                INVALID_CONFIG,
                f'network "{self._network}" is another one than its first node wrote to {key} in '
                f"etcd: {listed}; give all nodes the same configuration, or delete {key} if it is "
                "that which is wrong",
            )

    def nodes(self, *, with_alive: bool = False) -> tuple[list[Node], list[str], int]:
        """All nodes, what is wrong with keys that are none, and the revision etcd was at.

        A watch of `keys.nodes` from the next revision on misses nothing.
        """
        stored, revision = self._etcd.list(self.keys.nodes)
        alive: set[str] = set()
        if with_alive:
            alive = {one.key for one in self._etcd.list(self.keys.all_alive)[0]}
        found: list[Node] = []
        problems: list[str] = []
        for one in stored:
            try:
                node = self._parse(one.key, one.value, one.mod_revision)
            except CniError as error:
                problems.append(error.msg)
            else:
                found.append(replace(node, alive=self.keys.alive(node.name) in alive))
        return found, problems, revision

    def changed(self, event: Event) -> Node | None:
        """What an event of the watch says of the node `name_of(event.key)`; None: it has gone.

        Raises CniError where the record is none of this network's.
        """
        if event.kind == "delete":
            return None
        return self._parse(event.key, event.value, event.mod_revision)

    def name_of(self, key: str) -> str:
        """The node that a key below `keys.nodes` is about."""
        return key.removeprefix(self.keys.nodes)

    def _parse(self, key: str, value: str, revision: int) -> Node:
        return parse_node(self._shared, self.name_of(key), value, revision)

    # ---- entering it

    def join(self, name: str, address: Address, mac: str) -> Node:
        """Enter a node, in l3 with a subnet of each pool; one that was there keeps its subnets.

        address, mac: of its VTEP. All its keys are written or none, and a repeated call (such as
        after an answer that got lost) gives the same. Raises CniError: INVALID_CONFIG where the
        network is another one (see `agree`), NO_ADDRESS where no subnet is left, TRY_AGAIN_LATER
        where another machine of this name is alive.
        """
        problem = name_problem(name)
        if problem:
            raise CniError(INVALID_CONFIG, f"the node's name: {problem}")
        self.agree()
        wanted = Node(name, address, mac)
        for _ in range(_ATTEMPTS):
            entered = self._rejoin(wanted) or self._enter(wanted)
            if entered is not None:
                return entered
        raise CniError(
            TRY_AGAIN_LATER,
            f'node {name} could not enter network "{self._network}": etcd\'s keys under '
            f"{self.keys.subnets} changed at each of {_ATTEMPTS} attempts",
        )

    def require_joinable(self, name: str, address: Address) -> None:
        """Raise the CniError that `join` would, as far as can be told without writing."""
        stored = self._etcd.get(self.keys.config)
        if stored is not None:
            self._compare(stored)
        nodes, _, _ = self.nodes(with_alive=True)
        there = next((one for one in nodes if one.name == name), None)
        if there is not None:
            self._refuse_namesake(there, address)
            return
        for pool, length in self._shared.each():
            if count_held(pool, nodes) >= count_all(pool, length):
                raise exhausted(self._shared, self._network, self.keys, nodes)

    def _rejoin(self, wanted: Node) -> Node | None:
        """None where it is not there, or was changed meanwhile."""
        stored = self._etcd.get(self.keys.node(wanted.name))
        if stored is None:
            return None
        there = self._parse(stored.key, stored.value, stored.mod_revision)
        if (there.address, there.mac) == (wanted.address, wanted.mac):
            return there
        self._refuse_namesake(there, wanted.address)
        return self.update(there, wanted.address, wanted.mac)

    def _refuse_namesake(self, there: Node, address: Address) -> None:
        """Raise CniError where another machine than this lives at the address of the record."""
        if there.address == address:
            return
        sign = self._etcd.get(self.keys.alive(there.name))
        if sign is not None and _text(sign, "machine") != self._origin.machine:
            raise CniError(
                TRY_AGAIN_LATER,
                f"this node, with VTEP address {address}, and one with {there.address} are both "
                f"called {there.name}, and that one was alive within the last {ALIVE_SECONDS} s: "
                'give each a name of its own (the host\'s, or key "peers.node"); a host that has '
                "just changed its address need only wait",
            )

    def _enter(self, wanted: Node) -> Node | None:
        """None where keys changed so that it is worth looking anew."""
        own = self.keys.node(wanted.name)
        taken: set[str] = set()
        if self._shared.pools:
            taken.update(one.key for one in self._etcd.list(self.keys.subnets)[0])
        listed = len(taken)
        while True:
            subnets = choose(self._shared, self.keys, wanted.name, taken)
            if subnets is None:
                if len(taken) > listed:  # the list is old by now
                    return None
                nodes, _, _ = self.nodes(with_alive=True)
                raise exhausted(self._shared, self._network, self.keys, nodes)
            node = replace(wanted, subnets=subnets)
            keys = [self.keys.subnet(subnet) for subnet in subnets]
            outcome = self._etcd.transact(
                [absent(key) for key in (own, *keys)],
                self._writes(node),
                [get(key) for key in (own, *keys)],
            )
            if outcome.succeeded:
                return replace(node, revision=outcome.revision)
            there, *others = outcome.found
            if there or not any(others):
                return None
            taken.update(one.key for found in others for one in found)

    def _writes(self, node: Node) -> list[Op]:
        keys = [self.keys.subnet(subnet) for subnet in node.subnets]
        return [
            put(self.keys.node(node.name), node.document()),
            *(put(key, node.subnet_document()) for key in keys),
        ]

    # ---- being in it

    def update(self, there: Node, address: Address, mac: str) -> Node | None:
        """Write a VTEP's new address and MAC to the keys of its node, which keeps its subnets.

        None where the record is not as `there` any more: then nothing was written.
        """
        node = replace(there, address=address, mac=mac)
        key = self.keys.node(there.name)
        outcome = self._etcd.transact([unchanged(key, there.revision)], self._writes(node))
        return replace(node, revision=outcome.revision) if outcome.succeeded else None

    def holding(self, name: str, subnets: Collection[Network]) -> Holding:
        """Whether a node still holds the subnets (in l2: its place) that it had, by one read."""
        keys = [self.keys.subnet(subnet) for subnet in subnets]
        reads = [self.keys.node(name), self.keys.alive(name), *keys]
        records, signs, *held = self._etcd.transact((), [get(key) for key in reads]).found
        is_ours = not signs or _text(signs[0], "boot") == self._origin.boot
        address = _text(signs[0], "address") if signs else ""
        if not records:
            return Holding(None, f"etcd has no node {name} any more", is_ours, address)
        node = self._parse(records[0].key, records[0].value, records[0].mod_revision)
        problem = self._lost(node, dict(zip(subnets, held, strict=True)))
        return Holding(node, problem, is_ours, address)

    def _lost(self, node: Node, held: dict[Network, list[KeyValue]]) -> str:
        """What is not the node's any more, in words. held: what the subnets' keys hold."""
        lost = []
        for subnet, found in held.items():
            holder = _text(found[0], "node") if found else ""
            if holder != node.name:
                lost.append(f"{subnet} is held by {holder or 'nobody'}")
            elif subnet not in node.subnets:
                lost.append(f"{subnet} is missing in the record of node {node.name}")
        return "; ".join(lost)

    def restore(self, node: Node) -> None:
        """Enter a node that lost its place with the very subnets it had, in one transaction.

        For an administrator to ask for: after etcd has lost its data, or a reclaim in error. Raises
        CniError: INVALID_CONFIG as `agree`, IN_THE_WAY where another node has one of them by now.
        """
        self.agree()
        keys = [self.keys.node(node.name), *map(self.keys.subnet, node.subnets)]
        found = self._etcd.transact((), [get(key) for key in keys]).found
        for subnet, held in zip(node.subnets, found[1:], strict=True):
            holder = _text(held[0], "node") if held else node.name
            if holder != node.name:
                raise CniError(
                    IN_THE_WAY,
                    f"{subnet}, which this host had as node {node.name}, is held by node {holder} "
                    "by now: remove this host's containers and then its device, and the next ADD "
                    "gets it another subnet",
                )
        same = [
            unchanged(key, held[0].mod_revision) if held else absent(key)
            for key, held in zip(keys, found, strict=True)
        ]
        if not self._etcd.transact(same, self._writes(node)).succeeded:
            raise CniError(TRY_AGAIN_LATER, f"the keys of node {node.name} changed meanwhile")

    def announce(self, node: Node, lease: int = 0) -> int:
        """Give a sign of life with the node's address, on a lease (0: a new one); gives the lease.

        It is kept up by `Etcd.keep_alive`.
        """
        lease = lease or self._etcd.grant(ALIVE_SECONDS)
        sign = jsontext.dumps({**self._origin.__dict__, "address": str(node.address)})
        self._etcd.put(self.keys.alive(node.name), sign, lease)
        return lease

    # ---- leaving it

    def reclaim(self, name: str) -> list[str]:
        """Remove a dead node's keys, all in one transaction; gives them.

        Its subnets are free for others then. Raises CniError: INVALID_CONFIG where there is no
        such node, TRY_AGAIN_LATER where it is alive or changes meanwhile.
        """
        own, alive = self.keys.node(name), self.keys.alive(name)
        stored = self._etcd.get(own)
        held = [one for one in self._etcd.list(self.keys.subnets)[0] if _text(one, "node") == name]
        if stored is None and not held:
            names = sorted(node.name for node in self.nodes()[0])
            raise CniError(
                INVALID_CONFIG,
                f'network "{self._network}" has no node {name} in etcd, only '
                f"{', '.join(names) or 'none at all'}, expected one of these",
            )
        keys = [one.key for one in (*([stored] if stored else ()), *held)]
        same = [unchanged(own, stored.mod_revision) if stored else absent(own)]
        same += [unchanged(one.key, one.mod_revision) for one in held]
        removals = [delete(key) for key in keys]
        outcome = self._etcd.transact([absent(alive), *same], removals, [get(alive)])
        if outcome.succeeded:
            return keys
        if outcome.found[0]:
            raise CniError(
                TRY_AGAIN_LATER,
                f"node {name} is alive (its address is {_text(outcome.found[0][0], 'address')}): "
                f"stop cnid there first, and {ALIVE_SECONDS} s later it counts as dead",
            )
        raise CniError(TRY_AGAIN_LATER, f"node {name} changed meanwhile; look at it again")


def of_overlay(etcd: Etcd, overlay: Overlay, family: int) -> Registry:
    """The registry of an overlay with etcd peers. family: 4 or 6, of its underlay."""
    assert isinstance(overlay.peers, peers.Etcd)
    prefix = overlay.peers.settings.prefix
    return Registry(etcd, overlay.network, prefix, shared_config(overlay, family))


def family_of(etcd: Etcd, prefix: str) -> int:
    """4 or 6: of the underlay of a network, as its first node wrote it down; 4 where none did."""
    key = Keys(prefix).config
    stored = etcd.get(key)
    return 6 if stored is not None and _text(stored, "underlay") == "IPv6" else 4


def _text(stored: KeyValue, key: str) -> str:
    """A string of a value; empty where there is none such."""
    try:
        return parse_value(stored.key, stored.value).string(key)
    except CniError:
        return ""
