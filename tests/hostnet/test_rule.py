"""Rules, byte for byte against pyroute2's encoder, and as ip(8) lists them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from pyroute2.netlink.rtnl.fibmsg import fibmsg

from hostnet import netlink, rule
from hostnet.netlink import NetlinkError
from tests.hostnet.test_codec import DUMP, NEW, Tapped, oracle
from tests.kit.host import Host

FOUR, SIX = ip_address("10.1.2.3"), ip_address("fd00:1::3")


def test_add_list_and_delete(host: Host) -> None:
    with Tapped() as nl:
        for source, table in ((FOUR, 100), (SIX, 70_000)):
            rule.add(nl, source, table)
            fields = {
                "family": 2 if source.version == 4 else 10,
                "src_len": source.max_prefixlen,
                "table": table if table < 256 else 0,
                "action": 1,
            }
            attrs = [("FRA_SRC", str(source)), ("FRA_TABLE", table)]
            assert nl.sent[-1] == oracle(fibmsg, rule.RTM_NEWRULE, NEW, fields, attrs, nl._seq)
        found = {one.source: one for one in rule.dump(nl) if one.source}
        assert nl.sent[-1] == oracle(fibmsg, rule.RTM_GETRULE, DUMP, {"family": 0}, [], nl._seq)
        assert found.keys() == {ip_network(FOUR), ip_network(SIX)}
        assert [one.table for one in found.values()] == [100, 70_000]
        assert {one.priority for one in found.values()} == {32765}
        listed = host.ip("rule", "show")
        assert [one["src"] for one in listed] == ["all", "10.1.2.3", "all", "all"]
        for one in found.values():
            assert rule.delete(nl, one)
            assert not rule.delete(nl, one, missing_ok=True)
            with pytest.raises(NetlinkError, match="delete <Rule 32765 from"):
                rule.delete(nl, one)
            rule.restore(nl, one)
            (again,) = [each for each in rule.dump(nl, one.family) if each.source]
            assert (again.source, again.table, again.priority) == (
                one.source,
                one.table,
                one.priority,
            )
            rule.delete(nl, one)


def test_all_that_a_rule_can_say_comes_back(host: Host) -> None:
    more = "priority 77 from 10.9.0.0/16 to 10.8.0.0/16 fwmark 5/255 iif lo ipproto tcp dport 80"
    host.command("ip", "rule", "add", *more.split(), "table", "900", "suppress_prefixlength", "0")
    host.command("ip", "rule", "add", "priority", "78", "from", "10.7.0.1", "prohibit")
    before = host.ip("rule", "show")
    with netlink.Netlink() as nl:
        found = {one.priority: one for one in rule.dump(nl, rule.AF_INET)}
        assert found[77].source == ip_network("10.9.0.0/16")
        assert (found[77].table, found[78].table) == (900, 0)
        assert found[0].source is None
        for priority in (77, 78):
            assert rule.delete(nl, found[priority])
        assert len(host.ip("rule", "show")) == len(before) - 2
        for priority in (77, 78):
            rule.restore(nl, found[priority])
        assert host.ip("rule", "show") == before
        for priority in (77, 78):
            rule.delete(nl, found[priority])


def test_the_same_rule_twice_is_two(host: Host) -> None:
    with netlink.Netlink() as nl:
        rule.add(nl, FOUR, 100)
        rule.add(nl, FOUR, 100)
        found = [one for one in rule.dump(nl, rule.AF_INET) if one.source]
        assert [one.priority for one in found] == [32764, 32765]
        for one in found:
            rule.delete(nl, one)
