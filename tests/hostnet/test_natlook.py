"""Whose rules translate a port first: told is what is certain, and nothing else."""

from __future__ import annotations

import pytest

from hostnet import natlook, nft
from hostnet.netfilter import Netfilter
from tests.kit.host import Host

TCP, UDP = 6, 17


@pytest.fixture(autouse=True)
def _shared(host: Host) -> None:
    host.share_nft()


def redirections(rule: str, chain: str = "", family: str = "ip") -> list[natlook.Redirection]:
    chain = chain or "type nat hook prerouting priority -100"
    nft.run(
        f"add table {family} theirs\nadd chain {family} theirs first {{ {chain}; }}\n"
        f"add rule {family} theirs first {rule}"
    )
    with Netfilter.open() as nl:
        return natlook.redirections(nl, -100, "pycni_portmap")


@pytest.mark.parametrize(
    "rule",
    [
        "tcp dport 8080 dnat to 10.9.9.9",
        "tcp dport 8080 counter dnat to 10.9.9.9:80",
        "tcp dport 8080 redirect to :90",
    ],
)
def test_what_is_certain(rule: str, host: Host) -> None:
    (found,) = redirections(rule)
    assert found.where == "chain first of the nftables table ip theirs"
    assert found.takes(4, TCP, 8080)
    assert not found.takes(4, UDP, 8080)
    assert not found.takes(4, TCP, 8081)
    assert not found.takes(6, TCP, 8080)


def test_of_both_versions(host: Host) -> None:
    (found,) = redirections("udp dport 53 redirect to :90", family="inet")
    assert found.takes(4, UDP, 53)
    assert found.takes(6, UDP, 53)


@pytest.mark.parametrize(
    "rule",
    [
        "ip daddr 192.0.2.9 tcp dport 8080 dnat to 10.9.9.9",
        'iifname "eth9" tcp dport 8080 dnat to 10.9.9.9',
        "tcp dport != 8080 dnat to 10.9.9.9",
        "tcp dport { 8080, 8081 } dnat to 10.9.9.9",
        "tcp sport 8080 dnat to 10.9.9.9",
        "tcp dport 8080 accept",
        "tcp dport 8080 counter",
        "ct state new tcp dport 8080 dnat to 10.9.9.9",
    ],
)
def test_what_is_not_certain(rule: str, host: Host) -> None:
    assert redirections(rule) == []


@pytest.mark.parametrize(
    "chain",
    [
        "type nat hook prerouting priority -99",
        "type nat hook output priority -100",
    ],
)
def test_chains_that_are_not_asked_first(chain: str, host: Host) -> None:
    assert redirections("tcp dport 8080 dnat to 10.9.9.9", chain) == []


@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_iptables(program: str, host: Host) -> None:
    host.command(
        *(program, "-t", "nat", "-I", "PREROUTING", "-p", "tcp", "--dport", "8080"),
        *("-j", "REDIRECT", "--to-ports", "90"),
    )
    with Netfilter.open() as nl:
        (found,) = natlook.redirections(nl, -100, "pycni_portmap")
    assert found.takes(4 if program == "iptables" else 6, TCP, 8080)
