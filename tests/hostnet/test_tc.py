"""Traffic control: byte for byte against pyroute2's encoder, and as tc(8) lists what was made."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pyroute2.netlink.rtnl.tcmsg import cls_u32, sched_tbf, tcmsg
from pyroute2.netlink.rtnl.tcmsg.common import nla_plus_rtab

from hostnet import link, netlink, tc
from hostnet.link import Link
from hostnet.netlink import NetlinkError
from tests.hostnet.test_codec import ACK, DUMP, NEW, Tapped, nest, oracle
from tests.kit.host import Host

RATE = 1_250_000  # 10 Mbit/s
BURST = 125_000
WIDE = 100_000_000_000


# pyroute2's, with the attributes that it lacks (linux/pkt_sched.h)
MORE = (
    ("TCA_TBF_RATE64", "uint64"),
    ("TCA_TBF_PRATE64", "uint64"),
    ("TCA_TBF_BURST", "uint32"),
    ("TCA_TBF_PBURST", "uint32"),
)
TBF_OPTIONS = type(
    "options", (sched_tbf.options,), {"nla_map": (*sched_tbf.options.nla_map, *MORE)}
)


@pytest.fixture
def nl(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tapped]:
    # pyroute2 leaves NLA_F_NESTED out where the kernel lets it, and takes the link layer, with
    # which no table of times is needed, for a reserved byte.
    monkeypatch.setattr(netlink, "NLA_F_NESTED", 0)
    monkeypatch.setattr(nla_plus_rtab.parms, "calc_rtab", lambda *_: [])
    monkeypatch.setattr(sched_tbf, "options", TBF_OPTIONS)
    with Tapped() as sock:
        yield sock


@pytest.fixture
def veth(host: Host, nl: Tapped) -> Iterator[Link]:
    made = link.create_veth(nl, "v0", "v1")
    link.set_up(nl, made.index)
    nl.sent.clear()
    yield made
    link.delete(nl, made.index)


def encoded(kind: int, flags: int, fields: dict[str, Any], attrs: list[Any], seq: int) -> bytes:
    return oracle(tcmsg, kind, flags, fields, attrs, seq)


def listed(host: Host, *what: str) -> Any:
    return json.loads(host.command("tc", "-json", "-details", *what).stdout or "[]")


def test_tbf(nl: Tapped, veth: Link, host: Host) -> None:
    for rate in (RATE, WIDE):
        options = tc.tbf(rate, BURST, 31_250 + BURST)
        tc.add_qdisc(nl, veth.index, "tbf", options, handle=tc.handle(1))
        parms = {
            "rate___reserved": 1,
            "rate": min(rate, 2**32 - 1),
            "limit": 156_250,
            "buffer": BURST * 1_000_000_000 // rate // 64,
        }
        attrs: list[Any] = [("TCA_TBF_PARMS", parms)]
        if rate == WIDE:
            attrs.append(("TCA_TBF_RATE64", rate))
        attrs.append(("TCA_TBF_BURST", BURST))
        assert nl.sent[-1] == encoded(
            tc.RTM_NEWQDISC,
            NEW,
            {"index": veth.index, "handle": 0x10000, "parent": 0xFFFFFFFF},
            [("TCA_KIND", "tbf"), ("TCA_OPTIONS", nest(*attrs))],
            nl._seq,
        )
        (found,) = listed(host, "qdisc", "show", "dev", "v0")
        assert found["options"]["rate"] == rate
        if rate == RATE:  # tc(8) counts bursts back from the time they take
            assert found["options"]["burst"].startswith("125000b")
            assert found["options"]["lat"] == 25_000
        ours = tc.qdisc(nl, veth.index)
        assert ours
        assert (ours.kind, ours.handle, ours.rate, ours.limit) == ("tbf", 0x10000, rate, 156_250)
        assert abs(ours.buffer - tc.ticks(rate, BURST)) <= 1
        assert tc.delete_qdisc(nl, veth.index)
        assert nl.sent[-1] == encoded(
            tc.RTM_DELQDISC, ACK, {"index": veth.index, "parent": 0xFFFFFFFF}, [], nl._seq
        )
    assert not tc.delete_qdisc(nl, veth.index, missing_ok=True)


def test_htb_with_classes_filters_and_a_queue(nl: Tapped, veth: Link, host: Host) -> None:
    tc.add_qdisc(nl, veth.index, "htb", tc.htb(0x30), handle=tc.handle(1))
    init = {"version": 3, "rate2quantum": 10, "defcls": 0x30, "debug": 0, "direct_pkts": 0}
    fields: dict[str, Any] = {"index": veth.index, "handle": 0x10000, "parent": 0xFFFFFFFF}
    options: Any = ("TCA_OPTIONS", nest(("TCA_HTB_INIT", init)))
    htb = [("TCA_KIND", "htb"), options]
    assert nl.sent[-1] == encoded(tc.RTM_NEWQDISC, NEW, fields, htb, nl._seq)
    for minor, rate in ((0x30, RATE), (1, WIDE)):
        tc.add_class(nl, veth.index, tc.handle(1, minor), tc.htb_class(rate, BURST))
        buffer, slow = BURST * 1_000_000_000 // rate // 64, min(rate, 2**32 - 1)
        parms = {
            "rate___reserved": 1,
            "rate": slow,
            "ceil___reserved": 1,
            "ceil": slow,
            "buffer": buffer,
            "cbuffer": buffer,
            "quantum": min(rate // 10, 200_000),
        }
        attrs: list[Any] = [("TCA_HTB_PARMS", parms)]
        if rate == WIDE:
            attrs += [("TCA_HTB_RATE64", rate), ("TCA_HTB_CEIL64", rate)]
        fields = {"index": veth.index, "handle": 0x10000 | minor, "parent": 0x10000}
        options = ("TCA_OPTIONS", nest(*attrs))
        htb = [("TCA_KIND", "htb"), options]
        assert nl.sent[-1] == encoded(tc.RTM_NEWTCLASS, NEW, fields, htb, nl._seq)
    tc.add_qdisc(nl, veth.index, "bfifo", tc.bfifo(200_000), parent=tc.handle(1, 0x30))
    tc.add_filter(
        nl,
        veth.index,
        tc.handle(1),
        priority=16,
        protocol=0x0800,
        keys=[(16, 0x0A000000, 0xFF000000)],
        classid=tc.handle(1, 1),
    )
    selector = ("TCA_U32_SEL", {"keys": ["0x0a000000/0xff000000+16"]})
    chosen = ("TCA_OPTIONS", nest(("TCA_U32_CLASSID", 0x10001), selector))
    fields = {"index": veth.index, "parent": 0x10000, "info": 16 << 16 | socket.htons(0x0800)}
    u32 = [("TCA_KIND", "u32"), chosen]
    assert nl.sent[-1] == encoded(tc.RTM_NEWTFILTER, NEW, fields, u32, nl._seq)

    whole = host.command("tc", "-details", "qdisc", "show", "dev", "v0").stdout
    assert "htb 1: root" in whole
    assert "default 0x30" in whole
    assert "parent 1:30 limit 200000b" in whole
    lines = host.command("tc", "-details", "class", "show", "dev", "v0").stdout
    assert "htb 1:30 root" in lines
    assert "rate 10Mbit ceil 10Mbit linklayer ethernet burst 125000b" in lines
    assert "rate 800Gbit ceil 800Gbit" in lines
    lines = host.command("tc", "-details", "filter", "show", "dev", "v0", "parent", "1:").stdout
    assert "protocol ip pref 16" in lines
    assert "flowid 1:1" in lines
    assert "match 0a000000/ff000000 at 16" in lines

    found = tc.qdisc(nl, veth.index)
    assert found
    assert (found.kind, found.default, found.rate, found.limit) == ("htb", 0x30, 0, 0)
    queue = tc.qdisc(nl, veth.index, tc.handle(1, 0x30))
    assert queue
    assert (queue.kind, queue.limit, queue.parent) == ("bfifo", 200_000, tc.handle(1, 0x30))
    classes = {tc.shown(one.handle): (one.rate, one.buffer) for one in tc.classes(nl, veth.index)}
    assert classes == {
        "1:30": (RATE, tc.ticks(RATE, BURST)),
        "1:1": (WIDE, tc.ticks(WIDE, BURST)),
    }
    (one,) = tc.filters(nl, veth.index, tc.handle(1))
    assert (one.protocol, one.priority, one.classid, one.redirect) == (0x0800, 16, 0x10001, None)
    assert one.keys == ((16, 0x0A000000, 0xFF000000),)


def test_redirect(nl: Tapped, veth: Link, host: Host) -> None:
    ifb = link.create(nl, "b0", "ifb", up=True)
    tc.add_qdisc(nl, veth.index, "ingress", parent=tc.INGRESS, handle=tc.INGRESS_HANDLE)
    fields = {"index": veth.index, "handle": 0xFFFF0000, "parent": 0xFFFFFFF1}
    attrs: list[Any] = [("TCA_KIND", "ingress")]
    assert nl.sent[-1] == encoded(tc.RTM_NEWQDISC, NEW, fields, attrs, nl._seq)
    tc.add_filter(nl, veth.index, tc.INGRESS_HANDLE, priority=1, protocol=3, redirect=ifb.index)
    action = cls_u32.get_tca_action(
        {"action": {"kind": "mirred", "direction": "egress", "action": "redirect",
                    "ifindex": ifb.index}}
    )  # fmt: skip
    selector = ("TCA_U32_SEL", {"keys": ["0x0/0x0+0"]})
    options = nest(selector, ("TCA_U32_ACT", action))
    fields = {"index": veth.index, "parent": 0xFFFF0000, "info": 1 << 16 | socket.htons(3)}
    assert unflagged(nl.sent[-1]) == unflagged(
        encoded(
            tc.RTM_NEWTFILTER,
            NEW,
            fields,
            [("TCA_KIND", "u32"), ("TCA_OPTIONS", options)],
            nl._seq,
        )
    )
    lines = host.command("tc", "-details", "filter", "show", "dev", "v0", "ingress").stdout
    assert "protocol all pref 1" in lines
    assert "mirred (Egress Redirect to device b0) stolen" in lines
    (found,) = tc.filters(nl, veth.index, tc.INGRESS_HANDLE)
    assert (found.protocol, found.redirect, found.keys) == (3, ifb.index, ((0, 0, 0),))
    link.delete(nl, ifb.index)
    assert [one.redirect for one in tc.filters(nl, veth.index, tc.INGRESS_HANDLE)] == [0]
    hook = tc.qdisc(nl, veth.index, tc.INGRESS)
    assert hook
    assert hook.kind == "ingress"
    assert tc.delete_qdisc(nl, veth.index, tc.INGRESS)
    assert tc.qdisc(nl, veth.index, tc.INGRESS) is None
    assert tc.filters(nl, veth.index, tc.INGRESS_HANDLE) == []


def unflagged(message: bytes) -> bytes:
    """Without NLA_F_NESTED, which pyroute2 sets on an action's options and nowhere else."""
    return message.replace(b"\x02\x80", b"\x02\x00")


def test_filters_of_any_action(nl: Tapped, veth: Link, host: Host) -> None:
    """What others have put there is listed, and leads nowhere."""
    tc.add_qdisc(nl, veth.index, "ingress", parent=tc.INGRESS, handle=tc.INGRESS_HANDLE)
    u32 = ("u32", "match", "u32", "0", "0")
    add = ("tc", "filter", "add", "dev", "v0", "ingress", "protocol", "ip")
    host.command(*add, "prio", "5", *u32, "action", "mirred", "egress", "mirror", "dev", "v0")
    host.command(*add, "prio", "6", *u32, "classid", "1:7")
    found = tc.filters(nl, veth.index, tc.INGRESS_HANDLE)
    assert [(one.priority, one.redirect, one.classid) for one in found] == [
        (5, None, 0),
        (6, None, tc.handle(1, 7)),
    ]


def test_questions(nl: Tapped, veth: Link) -> None:
    nl.sent.clear()
    tc.qdisc(nl, veth.index)
    tc.classes(nl, veth.index)
    tc.filters(nl, veth.index, tc.handle(1))
    at = {"index": veth.index}
    echo = ACK | netlink.NLM_F_ECHO
    seq = nl._seq
    assert nl.sent == [
        encoded(tc.RTM_GETQDISC, echo, {**at, "parent": 0xFFFFFFFF}, [], seq - 2),
        encoded(tc.RTM_GETTCLASS, DUMP, at, [], seq - 1),
        encoded(tc.RTM_GETTFILTER, DUMP, {**at, "parent": 0x10000}, [], seq),
    ]


def test_what_is_not_there(nl: Tapped, veth: Link) -> None:
    found = tc.qdisc(nl, veth.index)
    assert found is None or found.handle == 0
    assert tc.qdisc(nl, 4711) is None
    assert tc.filters(nl, 4711, tc.handle(1)) == []
    assert tc.classes(nl, veth.index) == []
    assert not tc.delete_qdisc(nl, 4711, missing_ok=True)
    for parent in (tc.ROOT, tc.INGRESS):
        with pytest.raises(NetlinkError, match="what queues on interface"):
            tc.delete_qdisc(nl, veth.index, parent)


def test_a_second_is_refused(nl: Tapped, veth: Link) -> None:
    tc.add_qdisc(nl, veth.index, "tbf", tc.tbf(RATE, BURST, BURST), handle=tc.handle(1))
    with pytest.raises(NetlinkError) as caught:
        tc.add_qdisc(nl, veth.index, "htb", tc.htb(1), handle=tc.handle(1))
    assert caught.value.errno == 17
    with pytest.raises(NetlinkError, match="add the nonsense queueing discipline"):
        tc.add_qdisc(nl, veth.index, "nonsense", handle=tc.handle(2))


@pytest.mark.parametrize(
    ("rate", "burst", "expected"),
    [(1_000_000, 64, 1000), (WIDE, 1, 0), (1, 2**32 - 1, (2**32 - 1) * 15_625_000)],
)
def test_ticks(rate: int, burst: int, expected: int) -> None:
    assert tc.ticks(rate, burst) == expected
