"""This host's membership in etcd, kept by a thread: signs of life, its record, whether it is lost.

It writes what is this host's own and nothing else: never a subnet. Where the keys that its device
stands for are gone or another's, it says so and writes nothing more, not even a sign of life: an
administrator has given the node up, or etcd has lost its data, and to take another subnet while
containers run in the old one is what nobody must do silently.
"""

from __future__ import annotations

import time

from cni.errors import TRY_AGAIN_LATER, CniError
from cni.record import record
from cni_vxlan.backoff import Backoff
from cni_vxlan.feed import Crashed
from cni_vxlan.registry import ALIVE_SECONDS, of_overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from cni.ip import Address
    from cni_vxlan.etcd_layout import Node
    from cni_vxlan.overlay import Overlay
    from cni_vxlan.registry import Registry
    from etcd_json import Etcd
    from wiring.etcd_settings import Settings

    News: TypeAlias = "Held | Lost | Unsure | Crashed"

SIGN_SECONDS = ALIVE_SECONDS / 3
_LOOK_SECONDS = 60.0
_NEVER = float("-inf")


@record
class Held:
    """The place is this host's, and its record is right. updated: whether that took a change."""

    updated: bool


@record
class Lost:
    """The place is not this host's any more, and why."""

    problem: str


@record
class Unsure:
    """etcd does not answer; it is asked again."""

    problem: str


class Membership:
    """The membership of a node in an overlay with etcd peers, until it is closed.

    own: the node as its device has it, which etcd is to say too. post: is called in its own thread.
    """

    def __init__(
        self, overlay: Overlay, settings: Settings, own: Node, post: Callable[[News], None]
    ) -> None:
        import threading

        self._overlay = overlay
        self._settings = settings
        self._post = post
        self._news = threading.Condition()
        self._own = own
        self._is_news = True
        self._is_closed = False
        self._lease = 0
        self._looked = _NEVER
        name = f"membership in {overlay.network}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it. The sign of life dies with its lease."""
        with self._news:
            self._is_closed = True
            self._news.notify()

    def check(self, own: Node) -> None:
        """This host is so now, and etcd is to be asked about it at once."""
        with self._news:
            self._own = own
            self._is_news = True
            self._news.notify()

    def _run(self) -> None:
        etcd: Etcd | None = None
        address: Address | None = None
        backoff = Backoff()
        wait = 0.0
        try:
            while self._awake(wait):
                start = time.monotonic()
                if etcd is not None and address != self._own.address:
                    etcd.close()  # whose connection came from the old one, perhaps
                    etcd = None
                try:
                    etcd, address = etcd or self._settings.connect(), self._own.address
                    self._keep(etcd)
                except (OSError, CniError) as error:
                    self._looked = _NEVER
                    self._post(Unsure(str(error)))
                    if etcd is not None:
                        etcd.close()
                        etcd = None
                    wait = backoff.after(time.monotonic() - start)
                else:
                    backoff = Backoff()
                    wait = SIGN_SECONDS
        except BaseException as error:  # noqa: BLE001 - the loop raises it again
            self._post(Crashed(error))
        finally:
            if etcd is not None:
                etcd.close()

    def _awake(self, seconds: float) -> bool:
        """Wait for news or for so long; False when it is closed."""
        with self._news:
            self._news.wait_for(lambda: self._is_closed or self._is_news, seconds)
            if self._is_news:
                self._is_news = False
                self._looked = _NEVER
            return not self._is_closed

    def _keep(self, etcd: Etcd) -> None:
        registry = of_overlay(etcd, self._overlay, self._own.address.version)
        if self._lease and not etcd.keep_alive(self._lease):
            self._lease = 0
        if self._lease and time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        with self._news:
            own = self._own
        self._check(registry, own)
        self._looked = time.monotonic()

    def _check(self, registry: Registry, own: Node) -> None:
        """Read this host's keys, and put right what is its own to put right."""
        holding = registry.holding(own.name, own.subnets)
        node = holding.node
        is_moved = node is not None and node.address != own.address
        problem = holding.problem
        is_gone = bool(problem)
        if not problem and is_moved and not holding.is_ours:
            problem = (
                f"another host, whose VTEP has {holding.address}, is called {own.name} in etcd "
                'too: give each host a name of its own (the host\'s, or key "peers.node")'
            )
        if problem or node is None:
            self._lease = 0
            remedy = f"see `cnitool overlay restore {self._overlay.network}`"
            self._post(Lost(f"{problem}; {remedy}" if is_gone else problem))
            return
        is_right = not is_moved and node.mac == own.mac
        if not is_right:
            updated = registry.update(node, own.address, own.mac)
            if updated is None:
                raise CniError(
                    TRY_AGAIN_LATER, f"the record of node {own.name} changes all the time"
                )
            node = updated
        if not (is_right and self._lease and holding.is_ours):
            self._lease = registry.announce(node, self._lease)
        self._post(Held(updated=not is_right))
