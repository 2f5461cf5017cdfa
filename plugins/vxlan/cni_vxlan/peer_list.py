"""The other hosts of an overlay with etcd peers, as etcd has told of them so far."""

from __future__ import annotations

from cni_vxlan.reconcile import Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.ip import Network
    from cni_vxlan.etcd_layout import Node
    from cni_vxlan.feed import Changed, Listed


class PeerList:
    """own: this host's name, which is no peer. mode: "l3" or "l2".

    is_known: whether etcd has been listed at all; before, nobody may be taken for gone.
    """

    def __init__(self, own: str, mode: str) -> None:
        self.own = own
        self.is_known = False
        self._is_routed = mode == "l3"
        self._nodes: dict[str, Node] = {}
        self._strange: dict[str, str] = {}
        self._before: dict[str, Node | None] | None = None

    @property
    def has_own(self) -> bool:
        """Whether etcd has this host too. An etcd that has not, since somebody gave the host up or
        the data was lost, is not to be believed about the others."""
        return self.own in self._nodes

    def take_list(self, news: Listed) -> None:
        """Take over a whole list."""
        self.is_known = True
        self._nodes = {node.name: node for node in news.nodes}
        self._strange = {f"key {number}": text for number, text in enumerate(news.problems)}
        self._before = None

    def take_change(self, news: Changed) -> None:
        """Take over one change."""
        if self._before is not None:
            self._before.setdefault(news.name, self._nodes.get(news.name))
        self._nodes.pop(news.name, None)
        self._strange.pop(news.name, None)
        if news.node is not None:
            self._nodes[news.name] = news.node
        if news.problem:
            self._strange[news.name] = news.problem

    def peers(self, own: Iterable[Network]) -> tuple[list[Peer], list[str]]:
        """The peers, and what is wrong with some. own: this host's subnets.

        Whoever claims one of these is no peer: traffic of our own containers would leave the host.
        From now on changes are noted for `changes`.
        """
        self._before = {}
        ours = set(own)
        problems = [*self._strange.values()]
        found = []
        for node in self._nodes.values():
            if node.name == self.own:
                continue
            if both := ours.intersection(node.subnets):
                problems.append(f"{', '.join(map(str, both))} of this host is node {node.name}'s")
            else:
                found.append(self._peer(node))
        return found, problems

    def changes(self, own: Iterable[Network]) -> tuple[list[Peer], list[Peer]] | None:
        """Peers as they were and as they are, of those that changed since `peers` or `changes`.

        None where these have something in common with others, so that the whole must be compared.
        """
        before, self._before = self._before, None
        if before is None or not self._is_routed:
            return None
        names = before.keys() - {self.own}
        old = [node for name in names if (node := before[name]) is not None]
        new = [node for name in names if (node := self._nodes.get(name)) is not None]
        taken: set[object] = set(own)
        for node in self._nodes.values():
            if node.name not in names:
                taken.update((node.address, node.mac, *node.subnets))
        for node in (*old, *new):
            if not taken.isdisjoint((node.address, node.mac, *node.subnets)):
                return None
        self._before = {}
        return [*map(self._peer, old)], [*map(self._peer, new)]

    def _peer(self, node: Node) -> Peer:
        if self._is_routed:
            return Peer(node.address, node.mac, node.subnets)
        return Peer(node.address)
