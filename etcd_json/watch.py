"""A watch: changes as they happen, until its connection or somebody ends it.

It never starts itself again: what was missed in between is the caller's to find out, who alone
knows what it has already acted on.
"""

from __future__ import annotations

import _thread
import os
import time

from etcd_json.document import base64, child, decode, number, revision, span, string
from etcd_json.errors import Compacted, EtcdError, Unreachable
from etcd_json.refusal import message
from etcd_json.stream import Cancelled
from etcd_json.values import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from etcd_json.document import Document
    from etcd_json.session import Session
    from etcd_json.values import Event


class Watch:
    """`with etcd.watch(prefix, revision) as watch: for events in watch:` each a list of `Event`.

    A list is whole: all changes of its revisions. `close`, from any thread or a signal handler,
    ends the iteration at once. Otherwise it ends with an error: Compacted, when the history from
    `revision` on is gone or was never there: list again; Unreachable, when the connection is lost,
    the member hangs or has lost its leader: watch again from `next_revision` on. Making one raises
    the same, and Denied.
    """

    def __init__(self, session: Session, prefix: str, revision: int, idle: float) -> None:
        self.next_revision = revision
        self._what = f"watch {prefix}*"
        self._session = session
        self._prefix = prefix
        self._idle = idle
        self._closed = False
        self._lock = _thread.allocate_lock()
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        create: Document = {**span(prefix), "start_revision": str(revision)}
        try:
            self._endpoint, self._stream, self._answer, self._first = session.open(
                "/v3/watch", {"create_request": create}, self._what, self._waker
            )
        except BaseException:
            os.close(self._waker)
            raise
        try:
            self._see_that_history_reaches(revision)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> list[Event]:
        """The next changes, waiting for them as long as it takes."""
        try:
            with self._lock:
                if self._closed:
                    raise StopIteration
                return self._next_events()
        except Cancelled:
            raise StopIteration from None
        except BaseException:
            self._closed = True
            raise
        finally:
            if self._closed:
                self._release()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration, also one that waits in another thread, and close the connection."""
        if not self._closed:
            self._closed = True
            os.eventfd_write(self._waker, 1)
        self._release()

    def _release(self) -> None:
        """Close the descriptors unless a thread iterates, which then does it on its way out.

        Never waits, since a signal handler may have come between: who sets `_closed` before the
        iterating thread gives up the lock is seen by it, and who comes later gets the lock.
        """
        if self._lock.acquire(blocking=False):
            try:
                if self._waker >= 0:
                    os.close(self._waker)
                    self._waker = -1
                    self._stream.close()
            finally:
                self._lock.release()

    def _next_events(self) -> list[Event]:
        while True:
            try:
                line = self._answer.line(time.monotonic() + self._idle)
            except Cancelled:
                raise
            except TimeoutError:
                self._see_that_member_serves()
                continue
            except OSError as error:
                raise self._lost(error.strerror or str(error)) from error
            if line is None:
                raise self._lost("it ended the answer")
            found = self._read(decode(line))
            if found:
                self.next_revision = found[-1].mod_revision + 1
                return found

    def _read(self, document: Document) -> list[Event]:
        if said := message(document):
            raise self._lost(said)
        result = child(document, "result")
        if compacted := number(result, "compact_revision"):
            raise Compacted(
                f"cannot {self._what} from revision {self.next_revision} on: etcd has compacted "
                f"its history up to {compacted}; list again and watch from there",
                compacted,
            )
        if result.get("canceled"):
            raise self._lost(string(result, "cancel_reason") or "it gives no reason")
        return events(result)

    def _see_that_member_serves(self) -> None:
        """Ask the member something that needs the cluster's consent; it was silent for long."""
        request: Document = {"key": base64(self._prefix or "\0")}
        try:
            self._session.serves(self._endpoint, "/v3/kv/range", request, self._waker)
        except Cancelled:
            raise
        except OSError as error:
            why = error.strerror or str(error)
            raise self._lost(f"it was silent for {self._idle:g} s and is now: {why}") from error

    def _see_that_history_reaches(self, wanted: int) -> None:
        """Raise Compacted if the store is older than what the caller has seen.

        etcd would wait in silence for its revisions to come so far: it was set up anew, or from a
        backup. A member may lag behind, so the cluster is asked as well.
        """
        created = self._read_created()
        if created >= wanted - 1:
            return
        request: Document = {"key": base64(self._prefix or "\0")}
        now = revision(self._session.call("/v3/kv/range", request, self._what))
        if now < wanted - 1:
            raise Compacted(
                f"cannot {self._what} from revision {wanted} on: etcd is at {now}, so it was set "
                "up anew or from a backup; list again and watch from there",
                now,
            )

    def _read_created(self) -> int:
        result = child(self._first, "result")
        if not result.get("created"):
            raise EtcdError(f"etcd did not start to {self._what}: {dict(self._first)}")
        return revision(result)

    def _lost(self, why: str) -> Unreachable:
        return Unreachable(f"can no longer {self._what} at {self._endpoint.url}: {why}")
