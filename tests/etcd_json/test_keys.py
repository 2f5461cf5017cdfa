"""Keys, lists, transactions and leases, against a real etcd."""

from __future__ import annotations

import pytest

from etcd_json import (
    Compacted,
    Etcd,
    EtcdError,
    KeyValue,
    NoLease,
    absent,
    delete,
    get,
    get_prefix,
    put,
    unchanged,
    value_is,
)
from tests.etcd_json.proxy import Proxy
from tests.kit.etcd import EtcdServer

MANY = 3000


def test_a_key_comes_back_as_it_was_written(etcd: Etcd) -> None:
    first = etcd.put("net/a", "one")
    second = etcd.put("net/a", "two\n\0€")
    assert second == first + 1
    assert etcd.get("net/a") == KeyValue("net/a", "two\n\0€", first, second)
    assert etcd.get("net") is None


def test_an_empty_value_is_there(etcd: Etcd) -> None:
    etcd.put("net/empty", "")
    found = etcd.get("net/empty")
    assert found
    assert found.value == ""


def test_bytes_that_are_no_text_survive(etcd: Etcd) -> None:
    etcd.put("net/\udcff", "\udc80")
    found, _ = etcd.list("net/\udcff")
    assert [(one.key, one.value) for one in found] == [("net/\udcff", "\udc80")]


def test_delete_tells_what_was_there(etcd: Etcd) -> None:
    for name in ("net/a", "net/b", "nets"):
        etcd.put(name, "x")
    assert etcd.delete("net/a")
    assert not etcd.delete("net/a")
    etcd.put("net/a", "x")
    assert etcd.delete_prefix("net/") == 2
    assert [one.key for one in etcd.list("")[0]] == ["nets"]


def test_everything_is_not_deleted_by_accident(etcd: Etcd) -> None:
    etcd.put("net/a", "x")
    with pytest.raises(ValueError, match="every key"):
        etcd.delete_prefix("")
    assert etcd.get("net/a")


def _fill(etcd: Etcd) -> list[str]:
    names = [f"net/{number:05}" for number in range(MANY)]
    for start in range(0, MANY, 100):
        etcd.transact([], [put(name, "x" * 100) for name in names[start : start + 100]])
    return names


def test_a_long_list_is_of_one_revision(etcd: Etcd, proxy: Proxy) -> None:
    names = _fill(etcd)
    before = etcd.put("other", "x")

    def change(number: int) -> None:
        etcd.delete(names[-1 - number])
        etcd.put(f"net/{MANY + number}", "late")

    def change_between(number: int) -> None:
        if number:
            change(number)

    proxy.on_request = change_between
    with Etcd([proxy.url]) as slow:
        found, revision = slow.list("net/")
    assert [one.key for one in found] == names
    assert revision == before
    assert len(etcd.list("net/")[0]) == MANY
    assert etcd.list("net/")[1] > before


def test_a_list_whose_history_is_compacted_meanwhile_starts_again(
    shared: EtcdServer, etcd: Etcd, proxy: Proxy
) -> None:
    names = _fill(etcd)

    def compact_once(number: int) -> None:
        if number == 1:
            etcd.delete(names[0])
            shared.compact()

    proxy.on_request = compact_once
    with Etcd([proxy.url]) as slow:
        assert [one.key for one in slow.list("net/")[0]] == names[1:]


def test_a_list_that_never_gets_through_says_so(
    shared: EtcdServer, etcd: Etcd, proxy: Proxy
) -> None:
    _fill(etcd)

    def compact(number: int) -> None:
        etcd.put("other", "x")
        shared.compact()

    proxy.on_request = compact
    with Etcd([proxy.url]) as slow, pytest.raises(Compacted, match=r"list net/\*.*compacted"):
        slow.list("net/")


def test_list_of_nothing(etcd: Etcd) -> None:
    at = etcd.put("other", "x")
    assert etcd.list("net/") == ([], at)


def test_a_transaction_takes_one_branch(etcd: Etcd) -> None:
    free = [absent("addr/1"), absent("owner/a")]
    both = [put("addr/1", "a"), put("owner/a", "1"), get("addr/1")]
    taken = etcd.transact(free, both, [get("addr/1"), get("owner/a")])
    assert taken.succeeded
    assert [[one.value for one in some] for some in taken.found] == [["a"]]

    refused = etcd.transact(free, both, [get("addr/1"), get("owner/b"), get_prefix("o")])
    assert not refused.succeeded
    assert refused.revision == taken.revision
    assert [[one.value for one in some] for some in refused.found] == [["a"], [], ["1"]]


def test_comparisons(etcd: Etcd) -> None:
    at = etcd.put("k", "one")
    assert etcd.transact([unchanged("k", at), value_is("k", "one")], []).succeeded
    assert not etcd.transact([value_is("k", "two")], []).succeeded
    assert not etcd.transact([value_is("absent", "")], []).succeeded
    assert not etcd.transact([absent("k")], []).succeeded
    etcd.put("k", "one")
    assert not etcd.transact([unchanged("k", at)], [delete("k")]).succeeded
    assert etcd.transact([], [delete("k")]).succeeded
    assert etcd.transact([absent("k")], []).succeeded


def test_a_transaction_whose_reads_are_not_answered_is_no_answer(proxy: Proxy) -> None:
    proxy.on_answer = lambda piece: piece.replace(b'"responses"', b'"something"')
    with Etcd([proxy.url]) as client, pytest.raises(EtcdError, match="no answer of etcd's JSON"):
        client.transact([], [get("net/a"), get("net/b")])


def test_a_transaction_too_long_is_refused_with_etcds_reason(etcd: Etcd) -> None:
    with pytest.raises(EtcdError, match="too many operations") as caught:
        etcd.transact([absent("k")], [put(str(number), "") for number in range(129)])
    assert not caught.value.unknown


def test_a_value_too_large_is_refused(etcd: Etcd) -> None:
    with pytest.raises(EtcdError, match=r"refuses to write k: .*too large"):
        etcd.put("k", "x" * 2_000_000)


def test_pages_of_large_values(etcd: Etcd) -> None:
    value = "x" * 1_000_000
    for number in range(6):
        etcd.put(f"net/{number}", value)
    assert [one.value == value for one in etcd.list("net/")[0]] == [True] * 6


def test_a_lease_takes_its_keys_with_it(etcd: Etcd) -> None:
    lease = etcd.grant(60)
    etcd.put("alive/a", "", lease)
    etcd.transact([], [put("alive/b", "", lease)])
    assert [one.lease for one in etcd.list("alive/")[0]] == [lease, lease]
    assert 58 <= etcd.keep_alive(lease) <= 60
    etcd.revoke(lease)
    assert etcd.list("alive/")[0] == []


def test_a_dead_lease(etcd: Etcd) -> None:
    lease = etcd.grant(60)
    etcd.revoke(lease)
    etcd.revoke(lease)
    assert etcd.keep_alive(lease) == 0
    for write in (
        lambda: etcd.put("alive/a", "", lease),
        lambda: etcd.transact([], [put("alive/a", "", lease)]),
    ):
        with pytest.raises(NoLease, match="grant another"):
            write()
    assert etcd.get("alive/a") is None
