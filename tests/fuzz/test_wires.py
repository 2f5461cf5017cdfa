"""Bytes from others: DHCP servers, etcd, netlink, the dhcp daemon; and what cnid is sent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

from cni_dhcp.daemon import message4, message6, packet
from cni_dhcp.daemon.lease import lease4
from cni_dhcp.daemon.message4 import OFFER, Message
from cni_dhcp.daemon.message6 import CLIENT_ID, IA_NA, REPLY, SERVER_ID, Message6
from cnid import protocol
from cnid.protocol import ProtocolError
from etcd_json.document import child, children, decode, number, revision
from etcd_json.http import Answer
from etcd_json.stream import Stream
from etcd_json.values import events, key_values
from hostnet.netlink import attr, attr_str, attr_u32, nested, parse, parse_list
from tests.cnid import fake
from tests.cnid.conftest import compiled, daemon, suite  # noqa: F401 (fixtures)
from tests.cnid.daemon import Daemon
from tests.fuzz import hostile
from tests.fuzz.campaign import Draw
from tests.fuzz.conftest import Start
from tests.fuzz.world import World, previous, templates
from tests.kit.calls import Document

MAC = bytes.fromhex("0a580a010002")
HOST = IPv4Address("10.99.0.12")


def _options4(draw: Draw) -> dict[int, bytes]:
    codes = (1, 3, 6, 12, 15, 26, 28, 33, 42, 51, 52, 54, 58, 59, 119, 121, 249, 255 - 1)
    return {
        code: draw.randbytes(draw.choice((0, 1, 2, 4, 5, 8, 9, 40, 600)))
        for code in draw.sample(codes, draw.randrange(8))
    }


def test_dhcp_messages(campaign: Start) -> None:
    who = message6.identity("net/c1/eth0")

    def four(draw: Draw) -> str:
        good = {
            1: b"\xff\xff\xff\0",
            3: HOST.packed,
            51: b"\0\0\1\0",
            119: b"\1a\0",
            54: HOST.packed,
        }
        message = Message(OFFER, 1, MAC, {**good, **_options4(draw)}, yours=HOST)
        data = message4.encode(message, reply=True)
        if draw.random() < 0.7:
            data = hostile.shuffled(draw, data)
        framed = packet.packet(data[:1400], HOST, HOST)
        try:
            packet.payload_of(hostile.shuffled(draw, framed))
        except ValueError:
            pass
        lease4(message4.decode(data), 0, b"")
        return "a lease"

    def six(draw: Draw) -> str:
        inner = b"\0\5\0\x18" + draw.randbytes(24)
        ia = who.iaid + draw.choice((bytes(8), draw.randbytes(8))) + inner
        known = ((CLIENT_ID, who.duid), (SERVER_ID, b"server"), (IA_NA, ia), (23, bytes(16)))
        more = tuple(
            (draw.choice((13, 23, 24, 56, 82, 3, 5)), draw.randbytes(draw.randrange(40)))
            for _ in range(draw.randrange(3))
        )
        data = message6.encode(Message6(REPLY, 1, known + more))
        if draw.random() < 0.8:
            data = hostile.shuffled(draw, data)
        found = message6.decode(data)
        message6.lease6(found, message6.offer(found, who), 0)
        return "a lease"

    for name, one in (("DHCPv4 packets", four), ("DHCPv6 packets", six)):
        campaign(name, 400, 12000).run(_refusing(one))


def _refusing(one: Callable[[Draw], str]) -> Callable[[Draw], str]:
    """ValueError and OSError are what these are for: it is refused."""

    def tried(draw: Draw) -> str:
        try:
            return one(draw)
        except UnicodeError:
            raise
        except (ValueError, OSError):
            return "refused"

    return tried


def test_netlink(campaign: Start) -> None:
    good = attr_str(3, "eth0") + nested(18, attr_str(1, "veth"), attr(2, b"")) + attr_u32(4, 1500)

    def one(draw: Draw) -> str:
        data = hostile.shuffled(draw, good)
        parse_list(data)
        for inner in parse(data).values():
            try:
                parse(inner)
            except ValueError:
                pass
        return "read"

    campaign("netlink attributes", 400, 12000).run(_refusing(one))


class _Pieces(Stream):
    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def receive(self, deadline: float) -> bytes:
        return next(self._pieces, b"")


BODY = {
    "header": {"cluster_id": "1", "revision": "7"},
    "kvs": [{"key": "L3B5Y25p", "value": "MTAuNi4wLjI=", "create_revision": "3", "lease": "9"}],
    "count": "1",
    "events": [{"type": "DELETE", "kv": {"key": "L3B5Y25p", "mod_revision": "4"}}],
    "succeeded": True,
    "responses": [{"response_range": {"kvs": []}}],
}


def _http(draw: Draw, body: bytes) -> bytes:
    """An answer of HTTP, in one piece or in chunks, mostly good."""
    if draw.random() < 0.5:
        length = draw.choice((str(len(body)), str(len(body)), "0", "-1", "9" * 30, "x", "\u0661"))
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        return head.encode("utf-8") + body
    size = draw.choice((f"{len(body):x}", f"{len(body):X}", "ffffffffffffffff", "-1", "0x4", ""))
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + size.encode() + b"\r\n" + body + b"\r\n0\r\n\r\n"


def _etcd_answer(draw: Draw) -> bytes:
    document = hostile.spoilt(draw, BODY) if draw.random() < 0.8 else BODY
    data = _http(draw, hostile.encoded(draw, document))
    return hostile.shuffled(draw, data) if draw.random() < 0.3 else data


def test_etcd_answers(campaign: Start) -> None:
    def one(draw: Draw) -> str:
        data = _etcd_answer(draw)
        at = draw.randrange(len(data) + 1)
        answer = Answer(_Pieces([data[:at], data[at:]] if 0 < at < len(data) else [data]), 0)
        found = decode(answer.body(0))
        revision(found)
        key_values(found)
        events(found)
        for each in children(found, "responses"):
            key_values(child(each, "response_range"))
        number(found, "count")
        return "read"

    def refused(draw: Draw) -> str:
        try:
            return one(draw)
        except OSError:  # EtcdError, BrokenAnswer
            return "refused"

    campaign("answers of etcd", 400, 12000).run(refused)


class Peer:
    """Somebody at a socket who answers whatever comes with `said`, and hangs up."""

    def __init__(self, listener: socket.socket) -> None:
        self.said = b""
        self._listener = listener
        self.port = listener.getsockname()[1] if listener.family == socket.AF_INET else 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.settimeout(5)
                    connection.recv(65536)
                    connection.sendall(self.said)
                except OSError:
                    pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def test_etcd_ipam(world: World, campaign: Start) -> None:
    """The whole plugin against an etcd that answers anything."""
    peer = Peer(socket.create_server(("127.0.0.1", 0)))
    config = templates(world)["etcd-ipam"][0]
    config["ipam"]["endpoints"] = [f"http://127.0.0.1:{peer.port}"]
    data = json.dumps(config).encode()

    def one(draw: Draw) -> str:
        peer.said = _etcd_answer(draw)
        command = draw.choice(("ADD", "ADD", "DEL", "STATUS"))
        try:
            answer = world.call("etcd-ipam", world.environ(command, world.container), data)
        except BaseException as error:
            error.add_note(f"{command} {peer.said[:2000]!r}")
            raise
        return f"{command} {answer.word}"

    try:
        campaign("etcd-ipam against a hostile etcd", 40, 1500).run(one)
    finally:
        peer.close()


def test_dhcp_daemon_answers(world: World, campaign: Start) -> None:
    """The dhcp plugin against a daemon that answers anything."""
    path = world.host.state / "d.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    peer = Peer(listener)
    config = templates(world)["dhcp"][0]
    config["ipam"]["daemonSocketPath"] = str(path)
    goods: tuple[Document, ...] = (
        {"result": previous()},
        {"error": {"code": 11, "msg": "no", "details": "x"}},
        {},
    )

    def one(draw: Draw) -> str:
        peer.said = hostile.encoded(draw, hostile.spoilt(draw, draw.choice(goods))) + b"\n"
        command = draw.choice(("ADD", "ADD", "DEL", "CHECK", "STATUS"))
        sent = {**config, "prevResult": previous()} if command == "CHECK" else config
        environ = world.environ(command, world.container)
        try:
            answer = world.call("dhcp", environ, json.dumps(sent).encode(), foreign=True)
        except BaseException as error:
            error.add_note(f"{command} {peer.said[:2000]!r}")
            raise
        return f"{command} {answer.word}"

    try:
        campaign("dhcp against a hostile daemon", 100, 4000).run(one)
    finally:
        peer.close()


# A request's head, with zeros for its numbers, and what follows it.
REQUEST = (protocol.REQUEST_MAGIC + b"test").ljust(protocol._HEADER.size, b"\0")
REQUEST += b"loopback\0/opt/cni/bin/loopback\0CNI_COMMAND=ADD\0CNI_IFNAME=eth0\0"


def test_cnid_requests(campaign: Start) -> None:
    assert protocol.parse_request(REQUEST).plugin == "loopback"

    def one(draw: Draw) -> str:
        try:
            found = protocol.parse_request(hostile.shuffled(draw, REQUEST))
        except ProtocolError:
            return "refused"
        assert found.plugin
        assert found.executable
        return "a request"

    campaign("requests to cnid", 400, 10000).run(one)


def test_a_running_cnid(daemon: Daemon, campaign: Start) -> None:  # noqa: F811
    """Whatever is said to it, it serves the next, with the same workers."""

    def one(draw: Draw) -> str:
        good = fake.request(daemon.suite, draw.choice(("VERSION", "STATUS", "DEL", "ADD")))
        message = hostile.shuffled(draw, good) if draw.random() < 0.7 else good
        message = draw.choice((message, message, message, protocol.STATUS_REQUEST, b"\0", b"T\xff"))
        count = draw.choice((5, 5, 5, 5, 0, 1, 3, 4))
        body = hostile.encoded(draw, hostile.spoilt(draw, {"cniVersion": "1.1.0", "name": "net"}))
        with fake.connect(daemon.suite) as connection:
            reading = fake.send(connection, message, body[:60_000], count)
            connection.settimeout(20)
            try:
                said = connection.recv(protocol.LONGEST)
                while said == protocol.WAIT:
                    said = connection.recv(protocol.LONGEST)
            except ConnectionResetError:
                said = b""
            printed = fake.read_all(reading)
        if said[:1] == protocol.DONE:
            status = said[1]
            assert b"Traceback" not in printed, printed
            return f"served, exit status {status}"
        return {protocol.REFUSED: "refused", b"": "hung up"}.get(said[:1], "told its state")

    before = sorted(daemon.pids)
    campaign("a running cnid", 40, 2000).run(one)
    assert sorted(one["pid"] for one in daemon.status()["workers"]) == before
