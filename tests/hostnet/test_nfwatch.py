"""Who damages what is ours, told apart from our own work."""

from __future__ import annotations

import select
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path

import pytest

from hostnet import masquerade
from hostnet.netfilter import Netfilter
from hostnet.nfwatch import Watch
from tests.kit.host import Host

OWN = Path("/proc/self/comm").read_text().strip()


@pytest.fixture
def watch(host: Host) -> Iterator[Watch]:
    host.share("nft *")
    made = Watch("pycni_", "CNI-", [OWN])
    yield made
    made.close()


def heard(watch: Watch) -> str:
    """By whom; what was announced is there when the command has ended."""
    select.select([watch], [], [], 0)
    return watch.take()


def test_our_own_work_is_nobodys(host: Host, watch: Watch) -> None:
    with Netfilter.open() as nl:
        masquerade.add(nl, "net/c1/eth0", [ip_interface("10.1.0.2/24")])
        masquerade.remove(nl, "net/c1/eth0")
    assert select.select([watch], [], [], 0)[0]
    assert heard(watch) == ""
    del host


@pytest.mark.parametrize(
    "command",
    [
        "flush ruleset",
        "delete table inet pycni_x",
        "flush chain inet pycni_x a",
        "add rule inet pycni_x a accept",
        "delete element inet pycni_x s { 10.1.0.2 }",
        "add table inet pycni_x { flags dormant; }",
    ],
)
def test_somebody_elses_is_his(host: Host, watch: Watch, command: str) -> None:
    host.command(
        "nft",
        "add table inet pycni_x; add chain inet pycni_x a; add rule inet pycni_x a return; "
        "add set inet pycni_x s { type ipv4_addr; elements = { 10.1.0.2 }; }",
    )
    heard(watch)
    host.command("nft", command)
    assert heard(watch) == "nft"
    assert heard(watch) == ""


def test_others_tables_are_theirs(host: Host, watch: Watch) -> None:
    host.command("nft", "add table inet mine; add chain inet mine a; add rule inet mine a accept")
    host.command("nft", "delete table inet mine")
    assert heard(watch) == ""


@pytest.mark.parametrize(
    ("command", "is_ours"),
    [
        (("-t", "nat", "-F", "POSTROUTING"), True),
        (("-t", "nat", "-F", "CNI-A"), True),
        (("-t", "nat", "-F", "KUBE-A"), False),
        (("-P", "FORWARD", "DROP"), True),
        (("-t", "nat", "-A", "KUBE-A", "-j", "RETURN"), False),
    ],
)
def test_of_iptables_our_chains_and_what_leads_to_them(
    host: Host, watch: Watch, command: tuple[str, ...], is_ours: bool
) -> None:
    for chain in ("CNI-A", "KUBE-A"):
        host.command("iptables-nft", "-t", "nat", "-N", chain)
        host.command("iptables-nft", "-t", "nat", "-A", chain, "-j", "RETURN")
    host.command("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-j", "CNI-A")
    host.command("iptables-nft", "-A", "FORWARD", "-j", "RETURN")
    heard(watch)
    host.command("iptables-nft", *command)
    assert bool(heard(watch)) == is_ours
