"""Several endpoints, dead ones among them; and what is said when an answer is lost."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from etcd_json import Denied, Endpoint, Etcd, EtcdError, Unreachable, absent, get, put
from tests.etcd_json.proxy import Proxy
from tests.kit.etcd import EtcdServer
from tests.kit.host import Host
from tests.kit.namespace import MNT_DETACH, MS_BIND, Namespace, libc, mount

CLOSED = "http://127.0.0.1:1"
SLACK = 1.5


@pytest.fixture
def black_hole(home: Namespace) -> Iterator[str]:
    """An endpoint whose host takes packets and says nothing."""
    address, mac = "192.0.2.9", "02:00:00:00:00:09"
    home.command("ip", "link", "add", "hole", "type", "veth", "peer", "name", "other")
    home.command("ip", "address", "add", "192.0.2.1/24", "dev", "hole")
    for name in ("hole", "other"):
        home.command("ip", "link", "set", name, "up")
    home.command("ip", "neigh", "add", address, "lladdr", mac, "dev", "hole")
    yield f"http://{address}:2379"
    home.command("ip", "link", "delete", "hole")


class _Hanging:
    """A server that takes connections and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def connections(self) -> int:
        """How many came since the last time."""
        count = 0
        while True:
            try:
                self._listener.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def hanging(home: Namespace) -> Iterator[_Hanging]:
    made = _Hanging()
    yield made
    made.close()


def test_a_dead_endpoint_is_passed_over_and_the_good_one_remembered(
    etcd: Etcd, shared: EtcdServer, black_hole: str, hanging: _Hanging
) -> None:
    with Etcd([CLOSED, black_hole, hanging.url, shared.url], timeout=1.0) as some:
        assert some.get("net/a") is None
        assert hanging.connections() == 1
        some.put("net/a", "x")
        assert some.get("net/a")
        assert hanging.connections() == 0


def test_a_change_passes_over_those_that_did_not_take_it(
    etcd: Etcd, shared: EtcdServer, black_hole: str
) -> None:
    with Etcd([CLOSED, black_hole, shared.url], timeout=1.0) as some:
        assert some.transact([absent("net/a")], [put("net/a", "x")]).succeeded


def test_a_watch_passes_over_the_dead(
    etcd: Etcd, shared: EtcdServer, black_hole: str, hanging: _Hanging
) -> None:
    first = etcd.put("net/a", "x")
    endpoints = [CLOSED, black_hole, hanging.url, shared.url]
    with Etcd(endpoints, timeout=1.0) as some, some.watch("net/", first) as watch:
        assert [one.key for one in next(watch)] == ["net/a"]


def test_when_none_answers_each_is_named_within_the_time(
    black_hole: str, hanging: _Hanging
) -> None:
    with Etcd([CLOSED, black_hole, hanging.url], timeout=0.4) as etcd:
        for ask in (lambda: etcd.get("net/a"), lambda: etcd.watch("net/", 1)):
            began = time.monotonic()
            with pytest.raises(Unreachable) as caught:
                ask()
            assert time.monotonic() - began < 0.4 + SLACK
            for told in (
                f"{CLOSED}: Connection refused",
                f"{black_hole}: no answer within 0.",
                f"{hanging.url}: no answer within 0.",
            ):
                assert told in str(caught.value)
            assert not caught.value.unknown


def test_a_name_that_is_none(home: Namespace) -> None:
    with Etcd(["http://absent.invalid:2379"]) as etcd, pytest.raises(Unreachable) as caught:
        etcd.get("net/a")
    assert "absent.invalid" in str(caught.value)


def test_an_endpoint_dies_and_comes_back(host: Host, tmp_path: Path, server: EtcdServer) -> None:
    with EtcdServer(host, tmp_path / "other", port=3379) as other:
        urls = [server.url, other.url]
        with Etcd(urls) as client:
            client.put("net/a", "first")
            server.kill()
            assert client.get("net/a") is None  # of another cluster
            server.start()
            other.kill()
            found = client.get("net/a")
    assert found
    assert found.value == "first"


def test_a_connection_that_was_kept_over_a_restart(server: EtcdServer, client: Etcd) -> None:
    client.put("net/a", "x")
    server.restart()
    client.put("net/b", "x")
    server.restart()
    assert len(client.list("net/")[0]) == 2


def _eat(answer: bytes) -> bytes | None:
    return None


def _keep(answer: bytes) -> bytes | None:
    return b""


def test_a_change_whose_answer_is_lost_is_unknown(etcd: Etcd, proxy: Proxy) -> None:
    proxy.on_answer = _eat
    with Etcd([proxy.url, CLOSED]) as client:
        for change in (
            lambda: client.put("net/a", "x"),
            lambda: client.delete("net/a"),
            lambda: client.transact([absent("net/b")], [put("net/b", "x")]),
        ):
            with pytest.raises(Unreachable, match=r"cannot tell whether.*read what") as caught:
                change()
            assert caught.value.unknown
    assert [one.key for one in etcd.list("net/")[0]] == ["net/b"]


def test_a_change_whose_answer_does_not_come_is_unknown(etcd: Etcd, shared: EtcdServer) -> None:
    with Etcd([shared.url], timeout=0.3) as client:
        assert client.get("net/a") is None
        shared.suspend()
        try:
            began = time.monotonic()
            with pytest.raises(Unreachable, match=r"no answer within 0\.3 s") as caught:
                client.put("net/a", "x")
            assert time.monotonic() - began < 0.3 + SLACK
        finally:
            shared.resume()
        assert caught.value.unknown


def test_a_read_whose_answer_is_lost_is_asked_elsewhere(
    etcd: Etcd, shared: EtcdServer, proxy: Proxy
) -> None:
    proxy.on_answer = _eat
    with Etcd([proxy.url, shared.url]) as client:
        assert client.get("net/a") is None
        assert client.transact([], [get("net/a")]).found == [[]]
    with Etcd([proxy.url]) as client, pytest.raises(Unreachable) as caught:
        client.get("net/a")
    assert not caught.value.unknown


def test_a_lost_answer_to_a_login_leaves_the_change_undone(server: EtcdServer) -> None:
    server.enable_auth(root="secret")
    with Proxy(2379) as proxy:
        proxy.on_answer = _eat
        client = Etcd([proxy.url], user="root", password="secret")
        with client, pytest.raises(Unreachable) as caught:
            client.put("net/a", "x")
        assert not caught.value.unknown
        with Etcd([proxy.url, server.url], user="root", password="secret") as client:
            client.put("net/a", "x")


def test_an_answer_cut_anywhere_is_no_answer(etcd: Etcd, proxy: Proxy) -> None:
    etcd.put("net/a", "x" * 1000)
    for length in (1, 17, 200, 800):

        def cut(answer: bytes, length: int = length) -> bytes | None:
            proxy.on_answer = _eat if answer[:length] == answer else _keep
            return answer[:length]

        proxy.on_answer = cut
        with Etcd([proxy.url], timeout=0.2) as client, pytest.raises(Unreachable):
            client.get("net/a")


def test_a_member_that_cannot_serve_is_passed_over(etcd: Etcd, shared: EtcdServer) -> None:
    unavailable = (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 39\r\n\r\n"
        b'{"error":"etcdserver: no leader","c":1}'
    )
    with _Saying(unavailable) as url, Etcd([url, shared.url]) as some:
        assert some.get("net/a") is None
    with _Saying(unavailable) as url, Etcd([url]) as some:
        with pytest.raises(Unreachable, match="cannot serve now: etcdserver: no leader") as caught:
            some.put("net/a", "x")
        assert caught.value.unknown  # it may have been proposed before the leader was lost


@pytest.mark.parametrize(
    ("answer", "error", "match"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Unreachable, "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", EtcdError, "no answer of etcd's JSON gateway.*html"),
        (b"HTTP/1.1 404 Not Found\r\n\r\nNot Found", EtcdError, "no JSON gateway.*--enable-grpc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1,2,3,45]", EtcdError, "no answer of"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\npermission denied", Denied, "wants a user"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", Unreachable, "cannot serve now: <html>"),
    ],
)
def test_what_is_not_etcd(
    home: Namespace, answer: bytes, error: type[EtcdError], match: str
) -> None:
    with _Saying(answer) as url, Etcd([url]) as etcd, pytest.raises(error, match=match):
        etcd.get("net/a")


class _Saying:
    """A server that says the same to everybody and closes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.recv(1 << 16)
                client.sendall(self._answer)

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


def test_ipv6(host: Host, tmp_path: Path) -> None:
    with EtcdServer(host, tmp_path / "etcd", "::1") as server, Etcd([server.url]) as etcd:
        first = etcd.put("net/a", "x")
        with etcd.watch("net/", first) as watch:
            assert next(watch)


def test_a_name_with_several_addresses(host: Host, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 both\n127.0.0.1 both\n")
    mount(str(hosts), Path("/etc/hosts"), "none", MS_BIND)
    try:
        for address in ("::1", "127.0.0.1"):
            with EtcdServer(host, tmp_path / address, address), Etcd(["http://both"]) as etcd:
                etcd.put("net/a", "x")
    finally:
        libc("umount2", b"/etc/hosts", MNT_DETACH)


def test_endpoints_in_their_parts() -> None:
    for url, host, port, secure, authority in (
        ("http://192.0.2.1:2379", "192.0.2.1", 2379, False, "192.0.2.1:2379"),
        ("https://etcd.example/", "etcd.example", 2379, True, "etcd.example:2379"),
        ("http://[2001:db8::1]:80", "2001:db8::1", 80, False, "[2001:db8::1]:80"),
        ("http://[fe80::1%eth0]", "fe80::1%eth0", 2379, False, "[fe80::1]:2379"),
    ):
        found = Endpoint(url)
        assert (found.host, found.port, found.secure) == (host, port, secure)
        assert found.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "192.0.2.1:2379",
        "unix:///run/etcd",
        "http://",
        "http://:2379",
        "http://2001:db8::1:2379",
        "http://[2001:db8::1",
        "http://[2001:db8::1]2379",
        "http://192.0.2.1:0",
        "http://192.0.2.1:65536",
        "http://192.0.2.1:x",
        "http://192.0.2.1:2379/v3",
        "http://user@192.0.2.1",
        "http://a b",
        "http://a\r\nX: y",
        "http://ünicode",
    ],
)
def test_endpoints_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="endpoint") as caught:
        Etcd([url])
    assert repr(url) in str(caught.value)


def test_no_endpoint() -> None:
    with pytest.raises(ValueError, match="no endpoint"):
        Etcd([])
