"""Watches: nothing missed, ends told, deaths noticed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from etcd_json import Compacted, Etcd, Event, Unreachable, put
from etcd_json.watch import Watch
from tests.etcd_json.proxy import Proxy
from tests.kit.etcd import PATIENT, EtcdServer
from tests.kit.host import Host

PROMPTLY = 5.0


def _keys(watch: Watch, count: int) -> list[str]:
    """The keys of the next so many events."""
    found: list[str] = []
    while len(found) < count:
        found += [one.key for one in next(watch)]
    return found


@pytest.fixture
def watching(etcd: Etcd) -> Iterator[Watch]:
    """A watch of `net/` from now on, with an event behind it."""
    with etcd.watch("net/", etcd.put("net/a", "x")) as made:
        assert _keys(made, 1) == ["net/a"]
        yield made


def test_events_tell_what_happened(etcd: Etcd) -> None:
    first = etcd.put("net/a", "one")
    etcd.put("nets", "not of the prefix")
    etcd.put("net/a", "two")
    etcd.delete("net/a")
    with etcd.watch("net/", first) as watch:
        found = next(watch)
        while len(found) < 3:
            found += next(watch)
        assert found == [
            Event("put", "net/a", "one", first),
            Event("put", "net/a", "two", first + 2),
            Event("delete", "net/a", "", first + 3),
        ]
        assert watch.next_revision == first + 4


def test_events_come_as_they_happen(etcd: Etcd, watching: Watch) -> None:
    for name in ("net/b", "net/c"):
        etcd.put(name, "x")
        assert _keys(watching, 1) == [name]


def test_a_watch_resumes_where_another_ended(etcd: Etcd, watching: Watch) -> None:
    watching.close()
    etcd.put("net/b", "x")
    etcd.put("other", "x")
    etcd.put("net/c", "x")
    with etcd.watch("net/", watching.next_revision) as watch:
        assert _keys(watch, 2) == ["net/b", "net/c"]


def test_a_transaction_is_one_list(etcd: Etcd, watching: Watch) -> None:
    names = [f"net/{number:03}" for number in range(100)]
    etcd.transact([], [put(name, "x" * 20_000) for name in names[:50]])
    etcd.transact([], [put(name, "x" * 20_000) for name in names[50:]])
    assert [one.key for one in next(watching)] == names[:50]
    assert [one.key for one in next(watching)] == names[50:]


def test_a_large_event(etcd: Etcd, watching: Watch) -> None:
    value = "0123456789" * 140_000
    etcd.put("net/large", value)
    (event,) = next(watching)
    assert event.value == value


def test_a_killed_etcd_ends_the_watch_and_nothing_is_missed(
    server: EtcdServer, client: Etcd
) -> None:
    watching = client.watch("net/", client.put("net/a", "x"))
    assert _keys(watching, 1) == ["net/a"]
    began = time.monotonic()
    server.kill()
    with pytest.raises(Unreachable, match=rf"no longer watch net/\* at {server.url}"):
        next(watching)
    assert time.monotonic() - began < PROMPTLY
    with pytest.raises(StopIteration):
        next(watching)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Unreachable, match="refused"):
        client.watch("net/", watching.next_revision)
    assert len(os.listdir("/proc/self/fd")) == before

    server.start()
    client.put("net/b", "x")
    client.delete("net/a")
    with client.watch("net/", watching.next_revision) as watch:
        assert _keys(watch, 2) == ["net/b", "net/a"]


def test_compacted_history_is_told_and_listed_anew(shared: EtcdServer, etcd: Etcd) -> None:
    first = etcd.put("net/a", "x")
    etcd.delete("net/a")
    etcd.put("net/b", "x")
    oldest = shared.compact()
    with etcd.watch("net/", first) as watch:
        with pytest.raises(Compacted, match="list again") as caught:
            next(watch)
        with pytest.raises(StopIteration):
            next(watch)
    assert caught.value.revision == oldest
    found, revision = etcd.list("net/")
    assert [one.key for one in found] == ["net/b"]
    with etcd.watch("net/", revision + 1) as watch:
        etcd.put("net/c", "x")
        assert _keys(watch, 1) == ["net/c"]


def test_an_etcd_set_up_anew_is_noticed(server: EtcdServer, client: Etcd) -> None:
    client.put("net/a", "x")
    with client.watch("net/", client.put("net/b", "x")) as watch:
        next(watch)
        server.kill()
    server.wipe()
    server.start()
    with pytest.raises(Compacted, match="set up anew") as caught:
        client.watch("net/", watch.next_revision)
    assert caught.value.revision == 1
    with client.watch("net/", client.list("net/")[1] + 1):
        pass


def test_close_ends_a_wait_in_another_thread(watching: Watch) -> None:
    ended = threading.Event()
    found: list[list[Event]] = []

    def iterate() -> None:
        found.extend(watching)
        ended.set()

    thread = threading.Thread(target=iterate)
    thread.start()
    began = time.monotonic()
    watching.close()
    assert ended.wait(PROMPTLY)
    assert time.monotonic() - began < PROMPTLY
    thread.join()
    assert found == []


def test_close_from_a_signal_handler_ends_a_wait(watching: Watch) -> None:
    former = signal.signal(signal.SIGALRM, lambda number, frame: watching.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert list(watching) == []
    finally:
        signal.signal(signal.SIGALRM, former)


def test_a_closed_watch_is_over(watching: Watch) -> None:
    watching.close()
    watching.close()
    assert list(watching) == []


def test_descriptors_are_closed(etcd: Etcd) -> None:
    first = etcd.put("net/a", "x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with etcd.watch("net/", first) as watch:
            next(watch)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_quiet_etcd_that_serves_is_not_given_up(etcd: Etcd, proxy: Proxy) -> None:
    first = etcd.put("net/a", "x")
    with Etcd([proxy.url]) as client, client.watch("net/", first + 1, idle=0.05) as watch:

        def change_after_questions() -> None:
            proxy.wait_connections(5)
            etcd.put("net/b", "x")

        thread = threading.Thread(target=change_after_questions)
        thread.start()
        assert _keys(watch, 1) == ["net/b"]
        thread.join()


@pytest.fixture
def suspended(etcd: Etcd, shared: EtcdServer) -> Iterator[Callable[[], None]]:
    """Lets the server hang until the test is over."""
    yield shared.suspend
    shared.resume()


def test_an_etcd_that_hangs_is_given_up(shared: EtcdServer, suspended: Callable[[], None]) -> None:
    with Etcd([shared.url], timeout=0.3) as etcd:
        first = etcd.put("net/a", "x")
        with etcd.watch("net/", first + 1, idle=0.1) as watch:
            suspended()
            began = time.monotonic()
            with pytest.raises(Unreachable, match=r"silent for 0\.1 s"):
                next(watch)
            assert time.monotonic() - began < PROMPTLY


def test_close_ends_the_question_whether_it_serves(
    proxy: Proxy, suspended: Callable[[], None]
) -> None:
    with Etcd([proxy.url], timeout=30) as etcd:
        watch = etcd.watch("net/", etcd.put("net/a", "x") + 1, idle=0.01)
        suspended()
        thread = threading.Thread(target=lambda: list(watch))
        thread.start()
        proxy.wait_connections(3)  # the put's, the watch's, the question's
        assert thread.is_alive()
        watch.close()
        thread.join(PROMPTLY)
        assert not thread.is_alive()


def test_an_answer_cut_short_is_told(etcd: Etcd, proxy: Proxy) -> None:
    first = etcd.put("net/a", "x")
    with Etcd([proxy.url]) as client, client.watch("net/", first + 1) as watch:
        proxy.on_answer = lambda answer: None
        etcd.put("net/b", "x")
        with pytest.raises(Unreachable, match="closed the connection"):
            next(watch)
        assert watch.next_revision == first + 1


def test_a_member_without_a_leader_ends_the_watch(host: Host, tmp_path: Path) -> None:
    cluster = {"one": "http://127.0.0.1:2380", "two": "http://127.0.0.1:3380"}
    members = [
        EtcdServer(host, tmp_path / name, port=port, name=name, cluster=cluster, options=PATIENT)
        for name, port in (("one", 2379), ("two", 3379))
    ]
    with ExitStack() as stack:
        for member in members:
            stack.callback(member.kill)
            member.begin()
        for member in members:
            member.wait()
        etcd = stack.enter_context(Etcd([members[0].url]))
        watch = stack.enter_context(etcd.watch("net/", etcd.put("net/a", "x") + 1))
        members[1].kill()
        with pytest.raises(Unreachable, match="no leader"):
            next(watch)
        with pytest.raises(Unreachable, match="cannot serve now: etcdserver: no leader"):
            etcd.watch("net/", watch.next_revision)
