"""etcd that is gone, refuses, or wants TLS; many nodes at once; and what STATUS says of it all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cni.errors import INVALID_CONFIG, NOT_AVAILABLE, TRY_AGAIN_LATER
from etcd_json import Etcd
from tests.etcd_ipam.cluster import DUAL, V4, V6, Keys, Node
from tests.kit.calls import PluginError, Runtime
from tests.kit.etcd import Authority, EtcdServer, User
from tests.kit.namespace import Namespace
from tests.kit.processes import at_once
from tests.kit.versions import versions_since

WORKERS = 10
CONTAINERS = 25

# ---- many at once --------------------------------------------------------------------------------


def test_ten_workers_and_nearly_every_address(node: Node, keys: Keys) -> None:
    """250 of 253: the last ones are fought for."""
    node.ranges(*DUAL)

    def work(number: int) -> list[str]:
        worker = node.another(f"n{number}")
        return [worker.add(f"c{n}") for n in range(CONTAINERS)]

    got = [one for each in at_once([partial(work, n) for n in range(WORKERS)]) for one in each]
    assert len({one.split()[0] for one in got}) == WORKERS * CONTAINERS
    assert len({one.split()[1] for one in got}) == WORKERS * CONTAINERS
    assert len(keys.all) == 3 * WORKERS * CONTAINERS
    assert {f"addr/{address}" for one in got for address in one.split()} < set(keys.all)

    def release(number: int) -> bool:
        worker = node.another(f"n{number}")
        for n in range(CONTAINERS):
            worker.delete(f"c{n}")
        return True

    at_once([partial(release, n) for n in range(WORKERS)])
    assert keys.all == {}


def test_more_attachments_than_addresses(node: Node, keys: Keys) -> None:
    node.ranges([{"subnet": "10.1.2.0/29"}], [V6])

    def one(number: int) -> str:
        try:
            return node.another(f"n{number}").add()
        except PluginError as error:
            return error.msg

    got = at_once([partial(one, n) for n in range(15)])
    assert sorted(text.split()[0] for text in got if text.startswith("10.")) == [
        f"10.1.2.{n}" for n in range(2, 7)
    ]
    assert sum("no IP addresses available in range set" in text for text in got) == 10
    assert len(keys.all) == 15


def test_one_attachment_added_by_many(node: Node, keys: Keys) -> None:
    def one(_: int) -> str:
        try:
            return node.add()
        except PluginError as error:
            return error.msg

    got = at_once([partial(one, n) for n in range(8)])
    assert sum("duplicate allocation is not allowed" in text for text in got) == 7
    assert len(keys.all) == 2


# ---- gone ----------------------------------------------------------------------------------------


@pytest.fixture
def lonely(node: Node, server: EtcdServer) -> Node:
    """The node, with an etcd of its own."""
    node.ipam["endpoints"] = [server.url]
    return node


def test_etcd_dies_and_returns(lonely: Node, server: EtcdServer) -> None:
    first = lonely.add()
    server.kill()
    for verb, code in (
        ("add", TRY_AGAIN_LATER),
        ("delete", TRY_AGAIN_LATER),
        ("check", TRY_AGAIN_LATER),
        ("gc", TRY_AGAIN_LATER),
        ("status", NOT_AVAILABLE),
    ):
        error = lonely.fails(verb)
        assert error.code == code, verb
        assert 'key "ipam.endpoints"' in error.msg
        assert server.url in error.msg
    assert lonely.fails("add", "c2").code == TRY_AGAIN_LATER
    server.start()
    lonely.status()
    lonely.check()
    with Etcd([server.url]) as etcd:
        keys = Keys(etcd, lonely.network)
        assert set(keys.all) == {f"addr/{first}", "owner/n1/c1/eth0"}
        lonely.delete()
        assert keys.all == {}


def test_the_second_endpoint(lonely: Node, server: EtcdServer) -> None:
    lonely.ipam["endpoints"] = ["http://127.0.0.3:1", server.url]
    lonely.add()
    lonely.delete()
    lonely.status()


# ---- users ---------------------------------------------------------------------------------------


@pytest.fixture
def guarded(lonely: Node, server: EtcdServer) -> Node:
    """The same with users; ours may use this network's keys and no others."""
    server.enable_auth(User("cni", "sesame", f"/pycni/{lonely.network}/"))
    lonely.ipam |= {"user": "cni", "password": "sesame"}
    return lonely


def test_a_user_with_a_password_file(guarded: Node, tmp_path: Path) -> None:
    del guarded.ipam["password"]
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("sesame\n")
    guarded.ipam["passwordFile"] = str(secret)
    result = guarded.result()
    guarded.check(result=result)
    guarded.status()
    guarded.gc(("c1", "eth0"))
    guarded.delete()
    secret.chmod(0o644)
    error = guarded.fails("add")
    assert error.code == INVALID_CONFIG
    assert f'key "ipam.passwordFile": {secret} has mode 0644' in error.msg


@pytest.mark.parametrize(
    "keys",
    [
        {"password": "wrong-sesame"},
        {"user": "nobody"},
        {"user": None, "password": None},
        {"prefix": "/pycni/not-ours"},
    ],
)
def test_what_etcd_refuses(guarded: Node, keys: dict[str, str | None]) -> None:
    guarded.ipam |= keys
    for verb in ("add", "delete", "gc"):
        error = guarded.fails(verb)
        assert error.code == INVALID_CONFIG, verb
        assert '"ipam.user"' in error.msg
        assert "sesame" not in str(error.document)
    error = guarded.fails("status")
    assert error.code == NOT_AVAILABLE
    assert '"ipam.user"' in error.msg


# ---- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def tls(inside: Namespace, tmp_path: Path) -> Iterator[tuple[EtcdServer, Authority]]:
    authority = Authority(tmp_path / "tls")
    files = authority.issue("etcd", "IP:127.0.0.4")
    address = "127.0.0.4"
    with EtcdServer(
        inside, tmp_path / "secure", address, files=files, wants_certificate=True
    ) as server:
        yield server, authority


def test_tls_on_both_sides(
    tls: tuple[EtcdServer, Authority], netns: Namespace, tmp_path: Path
) -> None:
    server, authority = tls
    node = Node(Runtime(tmp_path), netns, server.url, "secure")
    error = node.fails("add")
    assert error.code == INVALID_CONFIG
    assert '"ipam.ca"' in error.msg
    node.ipam |= authority.issue("client")._asdict()
    result = node.result()
    node.check(result=result)
    node.status()
    node.delete()
    stranger = Authority(tmp_path / "stranger")
    node.ipam["ca"] = str(stranger.ca)
    error = node.fails("add")
    assert error.code == INVALID_CONFIG
    assert '"ipam.ca"' in error.msg
    node.ipam["ca"] = str(tmp_path / "gone.pem")
    error = node.fails("status")
    assert error.code == NOT_AVAILABLE
    assert str(tmp_path / "gone.pem") in error.msg


# ---- STATUS --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", versions_since("1.1.0"))
def test_status_changes_nothing(node: Node, keys: Keys, version: str) -> None:
    node.version = version
    node.status()
    assert keys.all == {}
    node.add()
    node.ipam["reportExhaustion"] = True
    before = keys.all
    node.status()
    assert keys.all == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ranges", [[{"subnet": "banana"}]]),
        ("endpoints", ["banana"]),
        ("resolvConf", "/nowhere/resolv.conf"),
        ("reportExhaustion", 1),
    ],
)
def test_status_of_a_wrong_config(node: Node, key: str, value: object) -> None:
    node.ipam[key] = value
    error = node.fails("status")
    assert error.code == NOT_AVAILABLE
    assert f'key "ipam.{key}' in error.msg


@pytest.mark.parametrize("subnet", ["10.1.2.0/28", "10.1.2.0/24"])
def test_status_reports_exhaustion_if_it_is_asked_to(node: Node, keys: Keys, subnet: str) -> None:
    node.ranges([V6], [{"subnet": subnet}])
    node.extra = {"runtimeConfig": {"ips": ["10.1.2.2"]}}
    last = 14 if subnet.endswith("28") else 254
    keys.fill([f"10.1.2.{n}" for n in range(2, last)])
    node.ipam["reportExhaustion"] = True
    node.status()
    keys.fill([f"10.1.2.{last}"])
    error = node.fails("status")
    assert error.code == NOT_AVAILABLE
    assert "failed to allocate for range 1: no IP addresses available in range set" in error.msg
    assert f"{last - 1} by node n9" in error.document["details"]
    node.ipam["reportExhaustion"] = False
    node.status()


def test_status_of_another_range_that_is_full(node: Node, keys: Keys) -> None:
    keys.fill([f"10.1.2.{n}" for n in range(2, 255)])
    node.ipam["reportExhaustion"] = True
    node.ranges([{**V4, "subnet": "10.1.3.0/24"}])
    node.status()
