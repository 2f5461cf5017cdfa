"""The way from etcd to the watcher's loop: a thread that lists the nodes and hears what changes.

A thread, because a read of etcd may take its whole time-out to fail, and the loop must not wait
meanwhile; it does nothing but read and pass on, so that all that programs the kernel is in one
thread and needs no lock.

Each time it has to connect anew it lists anew, although etcd would let it go on where it was: the
etcd that comes back may be another one, restored from a backup or set up again, whose revisions
mean something else. A list of 5,000 nodes is 1 MB. What a compaction took away (flannel#2470: hot
loop) is the same case. And each time it waits, see `Backoff`.
"""

from __future__ import annotations

import time

from cni.errors import CniError
from cni.record import record
from cni_vxlan.backoff import Backoff
from cni_vxlan.registry import of_overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from cni_vxlan.etcd_layout import Node
    from cni_vxlan.overlay import Overlay
    from cni_vxlan.registry import Registry
    from etcd_json.watch import Watch
    from wiring.etcd_settings import Settings

    News: TypeAlias = "Listed | Changed | Broken | Crashed"


@record
class Listed:
    """All nodes, and what is wrong with keys that are none. Changes follow from now on."""

    nodes: tuple[Node, ...]
    problems: tuple[str, ...]


@record
class Changed:
    """A node came, changed or went (None). problem: why a record that is there is none."""

    name: str
    node: Node | None
    problem: str = ""


@record
class Broken:
    """The connection is gone, and why; a `Listed` will follow when it is there again."""

    problem: str


@record
class Crashed:
    """A defect of ours ended the thread."""

    error: BaseException


class Feed:
    """The nodes of an overlay with etcd peers, to `post`, until it is closed.

    family: 4 or 6, of the underlay. post: is called in the feed's thread.
    """

    def __init__(
        self, overlay: Overlay, settings: Settings, family: int, post: Callable[[News], None]
    ) -> None:
        import threading

        self._overlay = overlay
        self._settings = settings
        self._family = family
        self._post = post
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        name = f"feed of {overlay.network}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; what it was doing may take up to a time-out to notice."""
        self._closed.set()
        with self._lock:
            if self._watch is not None:
                self._watch.close()

    def reconnect(self) -> None:
        """List anew on another connection: this one may be dead, and nobody would say so for long.

        Such as when the host has lost the address that it comes from.
        """
        with self._lock:
            if self._watch is not None:
                self._watch.close()

    def _run(self) -> None:
        backoff = Backoff()
        try:
            while not self._closed.is_set():
                start = time.monotonic()
                try:
                    self._follow()
                except (OSError, CniError) as error:
                    if not self._closed.is_set():
                        self._post(Broken(str(error)))
                self._closed.wait(backoff.after(time.monotonic() - start))
        except BaseException as error:  # noqa: BLE001 - the loop raises it again
            self._post(Crashed(error))

    def _follow(self) -> None:
        with self._settings.connect() as etcd:
            registry = of_overlay(etcd, self._overlay, self._family)
            nodes, problems, revision = registry.nodes()
            with etcd.watch(registry.keys.nodes, revision + 1) as watch:
                if not self._is_to_be_closed(watch):
                    self._post(Listed(tuple(nodes), tuple(problems)))
                    self._hear(registry, watch)

    def _is_to_be_closed(self, watch: Watch) -> bool:
        """Whether `close` came before there was something for it to close."""
        with self._lock:
            self._watch = watch
            return self._closed.is_set()

    def _hear(self, registry: Registry, watch: Watch) -> None:
        for events in watch:
            for event in events:
                name = registry.name_of(event.key)
                try:
                    self._post(Changed(name, registry.changed(event)))
                except CniError as error:
                    self._post(Changed(name, None, error.msg))
