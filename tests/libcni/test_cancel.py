"""Time-outs, cancellation and signals: the plugin and all that it started are gone."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.errors import TRY_AGAIN_LATER, CniError
from libcni import Attachment, Cancel, Runtime
from tests.libcni.fakes import Fakes, network, result

C1 = Attachment("c1", "/run/netns/c1")

# A plugin with a child, neither of which ever ends. Both are announced before anything else.
HANGING = """#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
sleep 1000 &
echo $$ $! >"$(dirname "$0")/started"
wait
"""
# One that looks finished to its caller: all its descriptors are closed.
CLOSING = """#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
exec <&- >&- 2>&-
sleep 1000 &
echo $$ $! >"$(dirname "$0")/started"
wait
"""


class Watched:
    """The hanging plugin's processes; a FIFO tells when they run."""

    def __init__(self, fakes: Fakes) -> None:
        self.fifo = fakes.directory / "started"
        os.mkfifo(self.fifo)
        self.fds: list[int] = []
        self.parent = 0

    def wait_for_start(self) -> None:
        pids = self.fifo.read_text().split()
        self.fds = [os.pidfd_open(int(pid)) for pid in pids]
        self.parent = int(pids[0])

    def assert_gone(self) -> None:
        assert len(self.fds) == 2
        for fd in self.fds:
            ready, _, _ = select.select([fd], [], [], 10)
            os.close(fd)
            assert ready, "a process of the plugin is still there"

    def when_started(self, act: Callable[[], None]) -> threading.Thread:
        def body() -> None:
            self.wait_for_start()
            act()

        thread = threading.Thread(target=body)
        thread.start()
        return thread


@pytest.fixture(params=[HANGING, CLOSING], ids=["hanging", "closing"])
def watched(request: pytest.FixtureRequest, fakes: Fakes) -> Watched:
    fakes.plugin("one")
    fakes.answer("one", "ADD", result("1.1.0"))
    fakes.plugin("hangs", request.param)
    return Watched(fakes)


def test_time_out(fakes: Fakes, watched: Watched) -> None:
    runtime = Runtime([str(fakes.directory)], str(fakes.cache), timeout=0.5)
    thread = watched.when_started(lambda: None)
    with pytest.raises(CniError, match=r"did not end within 0.5 s; killed") as raised:
        runtime.add(network("one", "hangs"), C1)
    thread.join()
    assert raised.value.code == TRY_AGAIN_LATER
    assert 'plugin type="hangs" name="net" failed (add)' in raised.value.msg
    watched.assert_gone()
    assert fakes.order("DEL") == [("DEL", "one")]  # the other one's DEL records nothing


def test_cancellation_from_another_thread(fakes: Fakes, watched: Watched) -> None:
    with Cancel() as cancel:
        thread = watched.when_started(cancel.cancel)
        with pytest.raises(CniError, match="was cancelled; killed") as raised:
            fakes.runtime.add(network("one", "hangs"), C1, cancel=cancel)
        thread.join()
        watched.assert_gone()
        assert raised.value.code == TRY_AGAIN_LATER
        assert fakes.order("DEL") == [("DEL", "one")]
        assert fakes.cached() == []

        # It stays cancelled: nothing is started any more.
        before = len(fakes.calls())
        for verb in (fakes.runtime.add, fakes.runtime.delete):
            with pytest.raises(CniError, match="cancelled"):
                verb(network("one"), C1, cancel=cancel)
        with pytest.raises(CniError, match="cancelled"):
            fakes.runtime.gc(network("one"), [], cancel=cancel)
        with pytest.raises(CniError, match="cancelled"):
            fakes.runtime.validate(network("one"), cancel=cancel)
        assert [call.command for call in fakes.calls()[before:]] == ["DEL"]  # undoing the ADD


def test_an_exception_from_a_signal_handler(fakes: Fakes, watched: Watched) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    thread = watched.when_started(interrupt)
    with pytest.raises(KeyboardInterrupt):
        fakes.runtime.add(network("one", "hangs"), C1)
    thread.join()
    watched.assert_gone()
    assert fakes.order("DEL") == [("DEL", "one")]


def test_delete_goes_on_after_a_time_out(fakes: Fakes) -> None:
    for name in ("one", "slow"):
        fakes.plugin(name)
        fakes.answer(name, "ADD", result("1.1.0"))
    net = network("one", "slow")
    runtime = Runtime([str(fakes.directory)], str(fakes.cache), timeout=0.5)
    runtime.add(net, C1)
    fakes.plugin("slow", "#!/bin/sh\nexec sleep 1000\n")
    with pytest.raises(CniError, match="did not end within"):
        runtime.delete(net, C1)
    assert fakes.order("DEL") == [("DEL", "one")]
    assert len(fakes.cached()) == 1


def test_descriptors_do_not_leak(fakes: Fakes) -> None:
    fakes.plugin("one")
    fakes.answer("one", "ADD", result("1.1.0"))
    fakes.plugin("slow", "#!/bin/sh\nexec sleep 1000\n")
    fakes.plugin("no-interpreter", "#!/no/such\n")
    before = set(os.listdir("/proc/self/fd"))
    with Cancel() as cancel:
        runtime = Runtime([str(fakes.directory)], str(fakes.cache), timeout=0.05)
        runtime.add(network("one"), C1, cancel=cancel)
        for name in ("slow", "no-interpreter"):
            with pytest.raises(CniError):
                runtime.add(network(name), Attachment("c2", "/run/netns/c2"), undo=False)
    assert set(os.listdir("/proc/self/fd")) == before


def test_parallel_attachments(fakes: Fakes, tmp_path: Path) -> None:
    """A runtime serves different containers from as many threads as it likes."""
    fakes.plugin("one")
    fakes.answer("one", "ADD", result("1.1.0"))
    net = network("one")
    failures: list[CniError] = []

    def attach(number: int) -> None:
        try:
            fakes.runtime.add(net, Attachment(f"c{number}", f"/run/netns/c{number}"))
        except CniError as error:
            failures.append(error)

    threads = [threading.Thread(target=attach, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(fakes.cached()) == 16
