"""The mutations of the chain in `bridged` where iptables lays down the rules.

`$masq` and `$ports` are the container's chains.
"""

from __future__ import annotations

from tests.reliability.check import matrix
from tests.reliability.check.matrix import Mutation

_N = "iptables -t nat"
MEND = "iptables-restore $rules4\nip6tables-restore $rules6"
"""What iptables-save printed after ADD."""


def host(commands: str, words: str, *, missed: bool = False) -> Mutation:
    return matrix.host(commands, words, MEND, missed=missed)


MASQUERADE = [
    host(
        f"{_N} -F $masq",
        "chain $masq of the iptables table nat lacks `-d 10.1.0.0/16",
        missed=True,
    ),
    host(
        f"{_N} -D $masq 2",
        "chain $masq of the iptables table nat lacks `! -d 224.0.0.0/4",
        missed=True,
    ),
    host(
        f"{_N} -D POSTROUTING 2",
        "chain POSTROUTING of the iptables table nat lacks `-s 10.1.0.2/32",
        missed=True,
    ),
    host(
        "ip6tables -t nat -F $masq",
        "chain $masq of the iptables table nat lacks `-d 2001:db8::/64",
        missed=True,
    ),
    host(
        f"{_N} -F POSTROUTING\n{_N} -F $masq\n{_N} -X $masq",
        "10.1.0.2/32 is not masqueraded: chain $masq of the iptables table nat is missing",
        missed=True,
    ),
]
PUBLISHED = [
    host(f"{_N} -F $ports", "port 0.0.0.0:8080/tcp is not published by chain $ports"),
    host(
        f"{_N} -F CNI-HOSTPORT-DNAT",
        "chain CNI-HOSTPORT-DNAT of the iptables table nat lacks `-p tcp",
    ),
    host(
        f"{_N} -D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        "chain PREROUTING of the iptables table nat lacks `-m addrtype",
        missed=True,
    ),
    host(
        f"{_N} -D OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        "chain OUTPUT of the iptables table nat lacks `-m addrtype",
        missed=True,
    ),
    host(
        f"{_N} -I PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.9.9.9:80",
        "port 0.0.0.0:8080/tcp is led elsewhere first, by the iptables rule `-p tcp",
        missed=True,
    ),
    host(
        f"{_N} -F CNI-HOSTPORT-MASQ",
        "chain CNI-HOSTPORT-MASQ of the iptables table nat lacks",
    ),
    host(
        f"{_N} -F CNI-HOSTPORT-SETMARK",
        "chain CNI-HOSTPORT-SETMARK of the iptables table nat lacks",
    ),
    host(
        "iptables -t raw -F CNI-HOSTPORT-GUARD",
        "localhost is not guarded by the iptables table raw",
    ),
    matrix.host(
        "sysctl -qw net.ipv4.conf.cni0.route_localnet=0",
        "sysctl net/ipv4/conf/cni0/route_localnet is 0, expected 1",
        "sysctl -qw net.ipv4.conf.cni0.route_localnet=1",
        missed=True,
    ),
]
ADMITTED = [
    host("iptables -F CNI-FORWARD", "chain CNI-FORWARD of the iptables table filter lacks"),
    host("ip6tables -F CNI-FORWARD", "chain CNI-FORWARD of the ip6tables table filter lacks"),
    host("iptables -F FORWARD", "chain FORWARD of the iptables table filter lacks"),
    host(
        "iptables -F CNI-ISOLATION-STAGE-1",
        "chain CNI-ISOLATION-STAGE-1 of the iptables table filter lacks",
    ),
    host(
        "iptables -F CNI-ISOLATION-STAGE-2",
        "chain CNI-ISOLATION-STAGE-2 of the iptables table filter lacks",
    ),
]
