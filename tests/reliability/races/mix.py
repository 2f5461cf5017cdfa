"""A crowd of containers that a runtime attaches, checks, detaches and collects, all in parallel.

Each agent is a container with an interface for every network, and does one thing after the other,
as the specification wants it of a runtime; the agents run beside each other. What an agent does is
drawn from the seed. Each answer is judged at once: by what the agent knows of itself, by CHECK, and
by `Holdings`, in which no address and no host port may be twice.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cni.errors import PORT_TAKEN
from cni.result import Result
from libcni import Attachment, CniError, NetworkConfigList, Runtime
from tests.kit.namespace import Namespace

if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

OWN_PORT, CONTESTED_PORT = 20_000, 30_000
CONTESTED = 6
"""So many ports several containers want at once, at all addresses or at a single one."""
ABSENT, PRESENT, ABANDONED = "absent", "present", "abandoned"


class Holdings:
    """Who has which address and which contested port, by what ADD answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._addresses: dict[tuple[str, str], str] = {}
        self._ports: dict[tuple[int, str], tuple[str, str]] = {}

    def take(self, network: str, owner: str, addresses: list[str], port: tuple[int, str]) -> None:
        """Raises AssertionError where somebody has one of them already."""
        with self._lock:
            for one in addresses:
                other = self._addresses.setdefault((network, one), owner)
                assert other == owner, f"{one} of {network} is {owner}'s and {other}'s"
            number, at = port
            for (taken, where), holder in self._ports.items():
                both = taken == number and (at == where or not at or not where)
                assert not both, f"port {port} is {owner}'s and {holder}'s"
            if number:
                self._ports[port] = network, owner

    def give_back(self, network: str, owner: str) -> None:
        """Before a DEL or a GC begins: from then on another may have it."""
        with self._lock:
            for key in [one for one, who in self._addresses.items() if who == owner]:
                if key[0] == network:
                    del self._addresses[key]
            for port in [one for one, who in self._ports.items() if who == (network, owner)]:
                del self._ports[port]

    def addresses(self, network: str) -> set[str]:
        return {address for name, address in self._addresses if name == network}


class Slot:
    """An attachment: one network's interface in an agent's container."""

    def __init__(self, network: NetworkConfigList, ifname: str) -> None:
        self.network = network
        self.ifname = ifname
        self.state = ABSENT
        self.attachment = Attachment("")


class Crowd:
    """The agents, and what they share."""

    def __init__(
        self,
        runtime: Runtime,
        networks: Sequence[NetworkConfigList],
        containers: Sequence[Namespace],
        seed: int,
        after: Callable[[], object],
    ) -> None:
        """after: called after every operation."""
        self.runtime = runtime
        self.holdings = Holdings()
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        self._after = after
        self._collecting = {one.name: threading.Lock() for one in networks}
        self.agents = [
            Agent(self, f"c{number}", ns, networks, random.Random(f"{seed}/{number}"))
            for number, ns in enumerate(containers)
        ]

    def run(self, operations: int) -> None:
        """So many operations of each agent."""

        def act(agent: Agent) -> None:
            for _ in range(operations):
                agent.act()

        self._each(act)

    def leave(self) -> None:
        """DEL of what is there, GC for what was abandoned."""
        self._each(Agent.leave)
        for slot in self.agents[0].slots:
            self.agents[0].collect(slot)

    def _each(self, act: Callable[[Agent], object]) -> None:
        threads = [threading.Thread(target=self._guarded, args=(act, a)) for a in self.agents]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    def _guarded(self, act: Callable[[Agent], object], agent: Agent) -> None:
        try:
            act(agent)
        except (AssertionError, CniError) as problem:
            details = problem.details if isinstance(problem, CniError) else ""
            self.problems.append(f"{agent.name} after {agent.told[-6:]}: {problem} {details}")

    def count(self, what: str) -> None:
        self.done[what] += 1
        self._after()

    def slots(self, network: NetworkConfigList) -> list[tuple[Agent, Slot]]:
        return [(a, one) for a in self.agents for one in a.slots if one.network is network]

    def try_collect(self, network: NetworkConfigList) -> bool:
        """GC of a network, unless one runs; valid is all that its runtime may have in hand."""
        lock = self._collecting[network.name]
        if not lock.acquire(blocking=False):
            return False
        try:
            everybody = self.slots(network)
            gone = [(a, one) for a, one in everybody if one.state == ABANDONED]
            for agent, _ in gone:
                self.holdings.give_back(network.name, agent.name)
            stale = {id(slot) for _, slot in gone}
            valid = [agent.key(one) for agent, one in everybody if id(one) not in stale]
            self.runtime.gc(network, valid)
            for _, slot in gone:
                slot.state = ABSENT
        finally:
            lock.release()
        return True


class Agent:
    """A container."""

    def __init__(
        self,
        crowd: Crowd,
        name: str,
        ns: Namespace,
        networks: Sequence[NetworkConfigList],
        dice: random.Random,
    ) -> None:
        self.crowd = crowd
        self.name = name
        self.number = int(name[1:])
        self.slots = [Slot(one, f"eth{number}") for number, one in enumerate(networks)]
        self.told: list[str] = []
        self._ns = ns
        self._dice = dice

    def key(self, slot: Slot) -> Any:
        return Attachment(self.name, ifname=slot.ifname).key

    def act(self) -> None:
        """One operation, on one of the networks."""
        slot = self._dice.choice(self.slots)
        choices = {
            ABSENT: ((self.add, 70), (self.delete, 15), (self.status, 10), (self.collect, 5)),
            PRESENT: (
                (self.check, 40),
                (self.delete, 35),
                (self.add_again, 8),
                (self.abandon, 10),
                (self.status, 7),
            ),
            ABANDONED: ((self.collect, 60), (self.status, 40)),
        }[slot.state]
        (act,) = self._dice.choices([one for one, _ in choices], [many for _, many in choices])
        self.told.append(f"{act.__name__} {slot.network.name}")
        act(slot)

    def _count(self, verb: str) -> None:
        self.crowd.count(verb)

    def add(self, slot: Slot) -> None:
        mappings, contested = self._mappings(slot)
        attachment = Attachment(
            self.name, str(self._ns), slot.ifname, capability_args={"portMappings": mappings}
        )
        refused = ""
        result: Result | None = None
        try:
            result = self.crowd.runtime.add(slot.network, attachment)
        except CniError as error:
            if error.code != PORT_TAKEN or not contested[0]:
                raise
            refused = error.msg
        if result is None:
            assert f"{contested[0]}/tcp" in refused, refused
            assert "interface eth0 of container c" in refused, refused
            assert slot.ifname not in self._ns.links(), "the loser keeps its interface"
            self._count("ADD refused")
            return
        self._count("ADD")
        slot.attachment, slot.state = attachment, PRESENT
        addresses = [str(one.address.ip) for one in result.ips]
        self.crowd.holdings.take(slot.network.name, self.name, addresses, contested)
        self._judge(slot, result)

    def _mappings(self, slot: Slot) -> tuple[list[JsonValue], tuple[int, str]]:
        """Ports to publish, and the contested one of them (0 for none)."""
        if "portMappings" not in slot.network.capabilities:
            return [], (0, "")
        own = OWN_PORT + self.number * 8 + self.slots.index(slot)
        mappings: list[JsonValue] = [{"hostPort": own, "containerPort": 80}]
        # On one network only: a container's other networks wait for its port, they are not refused.
        if slot is not self.slots[0] or self._dice.random() > 0.3:
            return mappings, (0, "")
        port = CONTESTED_PORT + self._dice.randrange(CONTESTED)
        at = self._dice.choice(("", "192.0.2.1"))
        mappings.append({"hostPort": port, "containerPort": 81, "hostIP": at})
        return mappings, (port, at)

    def _judge(self, slot: Slot, result: Result) -> None:
        """What a person would look at first; the rest is CHECK's."""
        found = set(self._ns.addresses(slot.ifname))
        assert {str(one.address) for one in result.ips} <= found, (result.ips, found)

    def check(self, slot: Slot) -> None:
        self.crowd.runtime.check(slot.network, slot.attachment)
        self._count("CHECK")

    def delete(self, slot: Slot) -> None:
        """Of what is there, or of what is not: both succeed."""
        self.crowd.holdings.give_back(slot.network.name, self.name)
        attachment = slot.attachment
        if slot.state == ABSENT:
            attachment = Attachment(self.name, str(self._ns), slot.ifname)
        self.crowd.runtime.delete(slot.network, attachment)
        slot.state = ABSENT
        self._count("DEL")

    def add_again(self, slot: Slot) -> None:
        """What exists is refused, and stays as it is."""
        with pytest.raises(CniError, match=f"{slot.ifname} already exists"):
            self.crowd.runtime.add(slot.network, slot.attachment)
        self._count("ADD refused")
        self.crowd.runtime.check(slot.network, slot.attachment)
        self._count("CHECK")

    def abandon(self, slot: Slot) -> None:
        """Forget it; half of those as a runtime does that has lost its cache too.

        What is in the container alone, only the cache tells where; it ends with its namespace.
        """
        if slot.network.name != "lan" and self._dice.random() < 0.5:
            self.crowd.runtime.cache.remove(slot.network.name, self.key(slot))
        slot.state = ABANDONED
        self.collect(slot)

    def collect(self, slot: Slot) -> None:
        """GC; where one of the network runs already, STATUS."""
        if self.crowd.try_collect(slot.network):
            self._count("GC")
        else:
            self.status(slot)

    def status(self, slot: Slot) -> None:
        self.crowd.runtime.status(slot.network)
        self._count("STATUS")

    def leave(self) -> None:
        """The end: CHECK and DEL of all that is there."""
        for slot in self.slots:
            if slot.state == PRESENT:
                self.check(slot)
                self.delete(slot)


def reserved(directory: Path) -> set[str]:
    """The addresses that host-local's directory of a network holds."""
    if not directory.is_dir():
        return set()
    return {one.name for one in directory.iterdir() if one.name[0] in "0123456789f"}
