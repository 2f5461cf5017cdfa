"""Users: who may what, and tokens that end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etcd_json import Denied, Etcd, absent, put
from tests.kit.etcd import EtcdServer, User
from tests.kit.host import Host

USER = User("pycni", "its password", "net/")


@pytest.fixture
def guarded(server: EtcdServer) -> EtcdServer:
    """A server with users."""
    server.enable_auth(USER)
    return server


@pytest.fixture
def as_user(guarded: EtcdServer) -> Iterator[Etcd]:
    with Etcd([guarded.url], user=USER.name, password=USER.password) as made:
        yield made


def test_a_user_does_what_it_may(as_user: Etcd) -> None:
    first = as_user.put("net/a", "x")
    assert as_user.transact([absent("net/b")], [put("net/b", "x")]).succeeded
    assert [one.key for one in as_user.list("net/")[0]] == ["net/a", "net/b"]
    with as_user.watch("net/", first) as watch:
        assert [one.key for one in next(watch)] == ["net/a", "net/b"]
    lease = as_user.grant(60)
    assert as_user.keep_alive(lease) > 0
    as_user.revoke(lease)


def test_a_user_does_not_what_it_may_not(as_user: Etcd) -> None:
    with pytest.raises(
        Denied, match=r'write nets: user "pycni" has no permission.*grant'
    ) as caught:
        as_user.put("nets", "x")
    assert not caught.value.unknown
    for ask in (
        lambda: as_user.get("nets"),
        lambda: as_user.list(""),
        lambda: as_user.delete_prefix("n"),
        lambda: as_user.transact([absent("net/a")], [put("nets", "x")]),
        lambda: as_user.watch("n", 1),
    ):
        with pytest.raises(Denied, match="no permission"):
            ask()


@pytest.mark.parametrize("user", [USER.name, "nobody"])
def test_a_wrong_password(guarded: EtcdServer, user: str) -> None:
    with Etcd([guarded.url], user=user, password="wrong") as etcd:
        for ask in (lambda: etcd.put("net/a", "x"), lambda: etcd.watch("net/", 1)):
            with pytest.raises(Denied, match=f'check the password of user "{user}"') as caught:
                ask()
            assert not caught.value.unknown
            assert "wrong" not in str(caught.value)


def test_no_user_where_one_is_wanted(guarded: EtcdServer) -> None:
    with Etcd([guarded.url]) as etcd:
        for ask in (lambda: etcd.get("net/a"), lambda: etcd.watch("net/", 1)):
            with pytest.raises(Denied, match="wants a user and password, none are configured"):
                ask()


def test_tokens_lost_by_a_restart_are_renewed(guarded: EtcdServer, as_user: Etcd) -> None:
    first = as_user.put("net/a", "x")
    guarded.restart()
    as_user.put("net/b", "x")
    guarded.restart()
    with as_user.watch("net/", first) as watch:
        assert [one.key for one in next(watch)] == ["net/a", "net/b"]


def test_tokens_void_by_a_change_of_users_are_renewed(guarded: EtcdServer, as_user: Etcd) -> None:
    first = as_user.put("net/a", "x")
    guarded.add_user(User("other", "x", "y"))
    assert as_user.get("net/a")
    guarded.add_user(User("third", "x", "y"))
    with as_user.watch("net/", first) as watch:
        assert [one.key for one in next(watch)] == ["net/a"]


def test_tokens_that_expire_are_renewed(host: Host, tmp_path: Path) -> None:
    options = ["--auth-token-ttl=1", "--logger=zap", "--log-level=debug"]
    with EtcdServer(host, tmp_path / "etcd", options=options) as server:
        server.enable_auth(USER)
        with Etcd([server.url], user=USER.name, password=USER.password) as etcd:
            etcd.put("net/a", "x")
            server.wait_log(f'deleted a simple token.*"user-name":"{USER.name}"')
            etcd.put("net/b", "x")
            assert len(etcd.list("net/")[0]) == 2


def test_a_password_that_becomes_wrong(guarded: EtcdServer, as_user: Etcd) -> None:
    as_user.put("net/a", "x")
    guarded.call("auth/user/changepw", {"name": USER.name, "password": "another"})
    with pytest.raises(Denied, match="check the password"):
        as_user.put("net/b", "x")


def test_a_user_before_authentication_is_enabled_and_after(server: EtcdServer) -> None:
    with Etcd([server.url], user=USER.name, password=USER.password) as etcd:
        etcd.put("net/a", "x")
        server.enable_auth(USER)
        etcd.put("net/b", "x")
        with pytest.raises(Denied):
            etcd.put("nets", "x")
