"""One network on this host: who its peers are, what stands in their way, and when that is seen to.

All of it runs in the watcher's one thread. The kernel's tables are compared as a whole

- when the device appears or changes, or its underlay or that one's addresses do (`notice`),
- when etcd has been listed, which it is on every connection (`hear`),
- every minute, and sooner after something has failed.

In between, the change of a peer is programmed without looking (`reconcile.change`): to look takes a
quarter of a second with 5,000 peers, and a change must be on every host long before that.

Whatever goes wrong, what is in the kernel stays there: an overlay whose etcd is dead, or which has
lost its place in it, goes on as it is.
"""

from __future__ import annotations

import time

from cni.errors import CniError
from cni.record import replace
from cni_vxlan import device as devices
from cni_vxlan import guard, snapshot, watchstate
from cni_vxlan.etcd_layout import Node
from cni_vxlan.feed import Broken, Changed, Crashed, Feed, Listed
from cni_vxlan.membership import Held, Lost, Membership, Unsure
from cni_vxlan.peer_list import PeerList
from cni_vxlan.peers import Etcd
from cni_vxlan.reconcile import change, reconcile
from cni_vxlan.snapshot import Snapshot
from hostnet import vxlan
from hostnet.lock import NamespaceLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Protocol, TypeAlias

    from cni.jsonvalue import JsonValue
    from cni_vxlan import feed, membership
    from cni_vxlan.overlay import Overlay
    from cni_vxlan.reconcile import Changes, Peer
    from hostnet.netlink import Netlink

    News: TypeAlias = "feed.News | membership.News"

    class Log(Protocol):
        """A line of the log: what happened, and facts."""

        def __call__(self, message: str, **facts: JsonValue) -> None: ...


LOOK_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_LOCK_SECONDS = 1.0
"""An ADD holds the lock for milliseconds; other networks are waiting for the loop."""


class Keeper:
    """Keeps one overlay in step with its peers.

    due: when it will look by itself, as of time.monotonic(). post: brings what its threads hear to
    the loop.
    """

    def __init__(self, overlay: Overlay, post: Callable[[Keeper, News], None], log: Log) -> None:
        self.overlay = overlay
        self.due = 0.0
        self._post = post
        self._log = log
        self._snapshot = Snapshot()
        self._fingerprint: list[object] = []
        etcd = overlay.peers if isinstance(overlay.peers, Etcd) else None
        self._settings = etcd.settings if etcd is not None else None
        self._peer_list = PeerList(etcd.settings.node if etcd is not None else "", overlay.mode)
        self._feed: Feed | None = None
        self._membership: Membership | None = None
        self._own: Node | None = None
        self._must_compare = True
        self._has_news = False
        self._peer_count = 0
        self._synced_at: float | None = None
        self._retry = _RETRY_SECONDS
        # What is wrong, in words, empty where nothing is: the feed's connection is broken; the
        # membership is unsure, or lost; the last act on the kernel failed.
        self._broken = self._unsure = self._lost = self._failure = ""
        self._problems: tuple[str, ...] = ()
        self._remarks: list[str] = []
        self._logged: object = None

    # ---- what happens

    def hear(self, news: News) -> None:
        """Take over what one of its threads has heard; `settle` acts on it."""
        if isinstance(news, Crashed):
            raise news.error
        if self._feed is None:  # it was closed while this was on its way
            return
        if isinstance(news, Listed | Changed | Broken):
            self._hear_feed(news)
        else:
            self._hear_membership(news)

    def _hear_feed(self, news: Listed | Changed | Broken) -> None:
        match news:
            case Listed():
                self._broken = ""
                self._peer_list.take_list(news)
                self._must_compare = True
                self._check_membership()
            case Changed():
                self._peer_list.take_change(news)
                self._has_news = True
                if news.name == self._peer_list.own:
                    self._check_membership()
            case Broken():
                if self.state() == watchstate.SYNCED:
                    self._synced_at = time.monotonic()
                self._broken = news.problem

    def _hear_membership(self, news: Held | Lost | Unsure) -> None:
        match news:
            case Held():
                self._must_compare |= bool(self._lost)
                self._lost = self._unsure = ""
                if news.updated:
                    self._log("told etcd where this host is now", network=self.overlay.network)
            case Lost():
                self._lost, self._unsure = news.problem, ""
            case Unsure():
                self._unsure = news.problem

    def notice(self, nl: Netlink, heard: Collection[int]) -> None:
        """Look whether something happened to the device or its underlay.

        heard: the indexes of links of which the kernel has announced something. Our own is looked
        over in any case: one that was down for a moment is as before, and has lost its routes.
        """
        device = self._snapshot.device
        is_heard_of = device is not None and device.index in heard
        try:
            self._must_compare |= is_heard_of or self._is_changed(nl)
        except OSError:  # something went while it was looked at
            self._must_compare = True

    def _is_changed(self, nl: Netlink) -> bool:
        """Whether it is other than when it was last compared."""
        return snapshot.take(nl, self.overlay).fingerprint() != self._fingerprint

    def settle(self, nl: Netlink) -> None:
        """Act on what was heard and noticed, and on the time that has passed."""
        now = time.monotonic()
        if self._must_compare or now >= self.due:
            self._must_compare = self._has_news = False
            self._attempt(lambda: self._compare(nl))
        elif self._has_news:
            self._has_news = False
            self._attempt(lambda: self._apply_changes(nl))
        self._log_state()

    def close(self) -> None:
        """End its threads; the kernel keeps what it has."""
        for one in (self._feed, self._membership):
            if one is not None:
                one.close()
        self._feed = self._membership = self._own = None
        self._peer_list = PeerList(self._peer_list.own, self.overlay.mode)
        self._broken = self._unsure = self._lost = ""

    # ---- acts

    def _attempt(self, act: Callable[[], None]) -> None:
        """Act, and decide when to look again: soon, if it failed."""
        now = time.monotonic()
        self.due = now + LOOK_SECONDS
        try:
            act()
        except (OSError, CniError) as error:
            self._failure = str(error)
        else:
            self._failure = ""
        if self._failure or self._problems:
            self.due = now + self._retry
            self._retry = min(2 * self._retry, LOOK_SECONDS)
        else:
            self._retry = _RETRY_SECONDS
        if self.state() == watchstate.SYNCED:
            self._synced_at = time.monotonic()

    def _compare(self, nl: Netlink) -> None:
        """Compare all of it, under the lock in which an ADD makes the device and tells it peers."""
        with NamespaceLock(_LOCK_SECONDS, in_all=_LOCK_SECONDS):
            now = snapshot.take(nl, self.overlay)
            self._fingerprint = now.fingerprint()
            if now.device is not None and now.plan is not None:
                now = replace(now, device=devices.adjust(nl, now.plan.wanted, now.device))
            self._snapshot = now
            self._see_to_threads()
            self._problems = ()
            if now.device is None:
                self._peer_count = 0
                return
            peers = self._peers()
            if peers is not None:
                start = time.monotonic()
                self._guard(peers, thorough=True)
                changes = reconcile(nl, now.device, self.overlay.mode, peers)
                self._note(changes, len(peers), start)

    def _apply_changes(self, nl: Netlink) -> None:
        """Act on the changes of single peers."""
        changes = self._peer_list.changes(self._snapshot.subnets)
        if changes is None or self._snapshot.device is None or not self._believes_list():
            self._compare(nl)
            return
        before, after = changes
        peers = self._peers() or []
        start = time.monotonic()
        with NamespaceLock(_LOCK_SECONDS, in_all=_LOCK_SECONDS):
            self._guard(peers, thorough=False)
            done = change(nl, self._snapshot.device, before, after)
        self._note(done, len(peers), start)

    def _peers(self) -> list[Peer] | None:
        """All of them; None where nobody knows, and those in the kernel must do."""
        if self._settings is not None:
            if not self._believes_list():
                return None
            peers, self._remarks = self._peer_list.peers(self._snapshot.subnets)
            return peers
        plan = self._snapshot.plan
        return None if plan is None else [*(plan.peers or ())]

    def _believes_list(self) -> bool:
        """Whether etcd's list of nodes may be acted on. One without this host may have lost others
        too, and what is in the kernel is then all that keeps containers talking."""
        is_usable = self._peer_list.is_known and not self._snapshot.is_other
        return is_usable and self._peer_list.has_own and not self._lost

    def _guard(self, peers: list[Peer], *, thorough: bool) -> None:
        """Let in the packets of these. It stays as it is while there is no underlay."""
        plan = self._snapshot.plan
        if plan is not None:
            guard.ensure(plan.wanted, [peer.address for peer in peers], thorough=thorough)

    def _note(self, done: Changes, count: int, start: float) -> None:
        self._peer_count = count
        self._problems = done.problems
        if done.added or done.removed:
            self._log(
                "programmed",
                network=self.overlay.network,
                peers=count,
                added=done.added,
                removed=done.removed,
                seconds=round(time.monotonic() - start, 6),
            )

    # ---- its threads

    def _see_to_threads(self) -> None:
        """Let etcd be listened to, and know about this host, for as long as there is a device."""
        device = self._snapshot.device
        local = vxlan.Vxlan(device).local if device is not None else None
        if device is None or local is None or self._settings is None:
            self.close()
            return
        own = Node(self._settings.node, local, device.mac, self._snapshot.subnets)
        if self._own is not None and self._own.address.version != local.version:
            self.close()
        if self._feed is None or self._membership is None:
            self._feed = Feed(self.overlay, self._settings, local.version, self._from_thread)
            self._membership = Membership(self.overlay, self._settings, own, self._from_thread)
        elif own != self._own:
            self._membership.check(own)
            if self._own is None or own.address != self._own.address:
                self._feed.reconnect()
        self._own = own

    def _from_thread(self, news: News) -> None:
        self._post(self, news)

    def _check_membership(self) -> None:
        if self._membership is not None and self._own is not None:
            self._membership.check(self._own)

    # ---- what it says

    def state(self) -> str:
        """One of `watchstate`'s."""
        if self._snapshot.device is None:
            return watchstate.ABSENT
        if self._lost:
            return watchstate.LOST
        if self._failure or self._problems or self._snapshot.problem:
            return watchstate.FAILING
        if self._settings is None:
            return watchstate.SYNCED
        if not self._peer_list.is_known:
            return watchstate.WAITING
        return watchstate.STALE if self._broken else watchstate.SYNCED

    def error(self) -> str:
        """All that is wrong, in words."""
        one_by_one = (self._snapshot.problem, self._lost, self._failure, self._broken, self._unsure)
        # Where etcd is dead, both threads say so, mostly in the same words.
        said = dict.fromkeys((*one_by_one, *self._problems, *self._remarks))
        return "; ".join(filter(None, said))

    def report(self) -> dict[str, JsonValue]:
        """What `watchstate` describes."""
        state = self.state()
        ago: float | None = 0.0
        if state != watchstate.SYNCED:
            ago = None if self._synced_at is None else round(time.monotonic() - self._synced_at, 1)
        device = self._snapshot.device
        local = vxlan.Vxlan(device).local if device is not None else None
        return {
            "state": state,
            "synced_seconds_ago": ago,
            "peers": self._peer_count,
            "error": self.error(),
            "device": self.overlay.device,
            "mode": self.overlay.mode,
            "engine": self.overlay.peers.engine,
            "node": self._peer_list.own,
            "address": str(local or ""),
            "subnets": [str(subnet) for subnet in self._snapshot.subnets],
        }

    def _log_state(self) -> None:
        """Log the state where it is another one."""
        now = self.state(), self.error()
        if now != self._logged:
            self._logged = now
            network = self.overlay.network
            self._log(
                "overlay", network=network, state=now[0], peers=self._peer_count, error=now[1]
            )
