"""The mutations of a container on a bridge, by what of the chain they are about."""

from __future__ import annotations

from typing import Any

from tests.reliability.check.matrix import ADDRESSES, MAC, RULESET, Mutation, host, inside

ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "10.5.0.0/16", "mtu": 1300}]
PORTS = [
    {"hostPort": 8080, "containerPort": 80},
    {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"},
]
GIVEN: dict[str, Any] = {"ips": ADDRESSES, "mac": MAC, "portMappings": PORTS}
"""What the runtime brings."""


def host_local(directory: str, **keys: Any) -> dict[str, Any]:
    """The IPAM section with ranges around ADDRESSES."""
    ranges = [[{"subnet": "10.1.0.0/16"}], [{"subnet": "2001:db8::/64"}]]
    return {
        "type": "host-local",
        "dataDir": directory,
        "ranges": ranges,
        "routes": ROUTES,
        **keys,
    }


ROUTES_REPLACED = [
    inside(
        "ip -6 route replace default via 2001:db8::77 onlink dev eth0 metric 1024",
        "route to ::/0 via 2001:db8::1, found one via 2001:db8::77",
    ),
    inside(
        "ip route replace 10.5.0.0/16 via 10.1.0.77 mtu 1300 onlink dev eth0",
        "route to 10.5.0.0/16 via 10.1.0.1, found one via 10.1.0.77",
    ),
    inside(
        "ip route replace 10.5.0.0/16 via 10.1.0.1 mtu 1400 dev eth0",
        "route to 10.5.0.0/16 via 10.1.0.1, found one with the MTU 1400, expected 1300",
    ),
    inside("ip route delete 10.1.0.0/16 dev eth0", "lacks the route to 10.1.0.0/16"),
    inside("ip -6 route delete 2001:db8::/64 dev eth0", "lacks the route to 2001:db8::/64"),
    inside("ip -6 address add 2001:db8::99/64 dev eth0", "has the address 2001:db8::99/64"),
]

PORT = [
    host(
        "ip link set $port down",
        "host interface $port is down",
        "ip link set $port up",
        missed=True,
    ),
    host("ip link delete $port", "the host end of eth0 does not exist"),
    host(
        "ip link set $port down\nip link set $port name veth-renamed",
        "host interface $port is named veth-renamed",
    ),
    host("ip link set $port nomaster", "host interface $port is not a port of bridge cni0"),
    host(
        "ip link add other type bridge\nip link set $port master other",
        "host interface $port is not a port of bridge cni0",
        "ip link delete other\nip link set $port master cni0\n"
        "bridge link set dev $port hairpin on isolated on",
    ),
    host("ip link set $port mtu 1300", "interface $port has the MTU 1300, expected"),
    host(
        "ip link set $port address 02:00:00:00:00:98",
        "interface $port has the MAC 02:00:00:00:00:98, expected",
    ),
    host(
        "bridge link set dev $port hairpin off",
        "host interface $port has hairpin off, and hairpinMode is true",
        "bridge link set dev $port hairpin on",
        missed=True,
    ),
    host(
        "bridge link set dev $port isolated off",
        "host interface $port has isolated off, and portIsolation is true",
        "bridge link set dev $port isolated on",
    ),
]

BRIDGE = [
    host(
        "ip address delete 10.1.0.1/16 dev cni0",
        "interface cni0 lacks the gateway address 10.1.0.1/16",
        missed=True,
    ),
    host(
        "ip address delete 2001:db8::1/64 dev cni0",
        "interface cni0 lacks the gateway address 2001:db8::1/64",
    ),
    host("ip link set cni0 down", "bridge cni0 is down", missed=True),
    host(
        "ip link set cni0 promisc on",
        "bridge cni0 is in promiscuous mode",
        "ip link set cni0 promisc off",
    ),
    host(
        "ip link set cni0 address 02:00:00:00:00:99",
        "interface cni0 has the MAC 02:00:00:00:00:99, expected",
    ),
    host("ip link delete cni0", "bridge cni0 does not exist"),
    host(
        "sysctl -qw net.ipv4.ip_forward=0",
        "sysctl net.ipv4.ip_forward is not 1",
        "sysctl -qw net.ipv4.ip_forward=1",
        missed=True,
    ),
    host(
        "sysctl -qw net.ipv6.conf.all.forwarding=0",
        "sysctl net.ipv6.conf.all.forwarding is not 1",
        "sysctl -qw net.ipv6.conf.all.forwarding=1",
    ),
]

RESERVATIONS = [
    host("rm $state/net/10.1.0.2", "the reservation $state/net/10.1.0.2 is missing"),
    host("rm $state/net/2001:db8::2", "the reservation $state/net/2001:db8::2 is missing"),
    host("truncate -s 0 $state/net/10.1.0.2", "the reservation $state/net/10.1.0.2 is empty"),
    host(
        "sed -i s/c1/c9/ $state/net/10.1.0.2",
        "10.1.0.2 is reserved for c9 eth0",
        "sed -i s/c9/c1/ $state/net/10.1.0.2",
    ),
    host(
        "sed -i s/eth0/eth1/ $state/net/10.1.0.2",
        "10.1.0.2 is reserved for c1 eth1",
        "sed -i s/eth1/eth0/ $state/net/10.1.0.2",
    ),
    host(
        "mv $state/net $state/away",
        "the directory $state/net is missing",
        "mv $state/away $state/net",
    ),
]


def nft(commands: str, words: str, mend: str = "", *, missed: bool = False) -> Mutation:
    """A mutation by nft(8)."""
    lines = "\n".join(f"nft {one}" for one in commands.splitlines())
    mended = "\n".join(f"nft {one}" for one in mend.splitlines()) or RULESET
    return host(lines, words, mended, missed=missed)


_M = "inet pycni_masquerade"
MASQUERADE = [
    nft(f"delete element {_M} sources4 {{ 10.1.0.2 }}", "10.1.0.2/16 is not in sources4"),
    nft(f"delete element {_M} sources6 {{ 2001:db8::2 }}", "2001:db8::2/64 is not in sources6"),
    nft(
        f"delete element {_M} inside4_16 {{ 10.1.0.2 . 10.1.0.0 }}",
        "10.1.0.2/16 is not in inside4_16",
    ),
    nft(f"flush set {_M} sources4", "10.1.0.2/16 is not in sources4"),
    nft(f"flush map {_M} owners", "10.1.0.2/16 is not masqueraded"),
    nft(f"flush chain {_M} postrouting", f"chain postrouting of the nftables table {_M}"),
    nft(f"flush chain {_M} leave", f"chain leave of the nftables table {_M}"),
    nft(f"flush chain {_M} inside", "chain inside lacks the rule for /16"),
    nft(
        f"insert rule {_M} postrouting accept",
        f"chain postrouting of the nftables table {_M} has rules of somebody else",
    ),
    nft(
        f"add table {_M} {{ flags dormant; }}",
        f"the nftables table {_M} is dormant",
        f"add table {_M}",
    ),
    nft(f"delete table {_M}", f"the nftables table {_M} is missing"),
    host("nft flush ruleset", f"the nftables table {_M} is missing"),
]
MASQUERADE = [Mutation(**{**vars(one), "missed": True}) for one in MASQUERADE]

_S = "bridge pycni_macspoof"
MACSPOOF = [
    nft(f"flush chain {_S} $port", "port $port may send from any MAC"),
    nft(f"flush map {_S} ports", "port $port may send from any MAC"),
    nft(f"flush chain {_S} prerouting", "port $port may send from any MAC"),
    nft(f"delete table {_S}", "port $port may send from any MAC"),
]

_P = "inet pycni_portmap"
PUBLISHED = [
    nft(f"delete element {_P} any4 {{ tcp . 8080 }}", "port 0.0.0.0:8080/tcp is not in any4"),
    nft(f"delete element {_P} any6 {{ tcp . 8080 }}", "port [::]:8080/tcp is not in any6"),
    nft(
        f"delete element {_P} addr4 {{ 192.0.2.1 . udp . 53 }}",
        "port 192.0.2.1:53/udp is not in addr4",
    ),
    nft(
        f"delete element {_P} any4 {{ tcp . 8080 }}\n"
        f"add element {_P} any4 {{ tcp . 8080 : 10.1.0.99 . 80 }}",
        "port 0.0.0.0:8080/tcp leads to 10.1.0.99:80 in any4",
        f"delete element {_P} any4 {{ tcp . 8080 }}\n"
        f"add element {_P} any4 {{ tcp . 8080 comment net/c1/eth0 : 10.1.0.2 . 80 }}",
    ),
    nft(
        f"delete element {_P} near4 {{ cni0 . 10.1.0.2 . tcp . 80 }}",
        "port 0.0.0.0:8080/tcp is not in near4",
    ),
    nft(
        f"delete element {_P} self4 {{ 10.1.0.2 . 10.1.0.2 . tcp . 80 }}",
        "port 0.0.0.0:8080/tcp is not in self4",
    ),
    nft(f"flush map {_P} owners", "port 0.0.0.0:8080/tcp is not published"),
    nft(
        f"flush chain {_P} prerouting",
        f"chain prerouting of the nftables table {_P}",
    ),
    nft(f"flush chain {_P} output", f"chain output of the nftables table {_P}"),
    nft(f"flush chain {_P} postrouting", f"chain postrouting of the nftables table {_P}"),
    nft(f"flush chain {_P} guard", f"chain guard of the nftables table {_P}"),
    nft(
        f"flush chain {_P} prerouting\ndelete chain {_P} prerouting",
        f"chain prerouting of the nftables table {_P} is missing",
    ),
    nft(
        f"insert rule {_P} prerouting tcp dport 8080 accept",
        f"chain prerouting of the nftables table {_P} has rules of somebody else",
        missed=True,
    ),
    nft(
        "add table ip shadow\n"
        "add chain ip shadow early { type nat hook prerouting priority -150; }\n"
        "add rule ip shadow early tcp dport 8080 dnat to 10.9.9.9",
        "port 0.0.0.0:8080/tcp is led elsewhere first, by chain early of the nftables table "
        "ip shadow",
        "delete table ip shadow",
        missed=True,
    ),
    nft(f"delete table {_P}", f"the nftables table {_P} is missing"),
    host(
        "sysctl -qw net.ipv4.conf.cni0.route_localnet=0",
        "sysctl net/ipv4/conf/cni0/route_localnet is 0, expected 1",
        "sysctl -qw net.ipv4.conf.cni0.route_localnet=1",
        missed=True,
    ),
]

_F = "inet pycni_firewall"
_B = "bridge pycni_firewall"
ADMITTED = [
    nft(f"delete element {_F} containers4 {{ 10.1.0.2 }}", "10.1.0.2 is not in containers4"),
    nft(f"delete element {_F} containers6 {{ 2001:db8::2 }}", "2001:db8::2 is not in containers6"),
    nft(f"delete element {_F} bridges {{ cni0 }}", "cni0 is not in bridges"),
    nft(f"delete element {_F} own {{ cni0 . cni0 }}", "cni0 . cni0 is not in own"),
    nft(f"delete element {_F} apart {{ cni0 . cni0 }}", "cni0 . cni0 is not in apart"),
    nft(f"delete element {_B} ports {{ $port }}", "$port is not in ports"),
    nft(f"flush map {_F} owners", "no record says that 10.1.0.2 is kept apart on cni0"),
    nft(f"flush chain {_F} forward", f"chain forward of the nftables table {_F}"),
    nft(f"flush chain {_F} through", f"chain through of the nftables table {_F}"),
    nft(
        f"flush chain {_F} admin", f"chain admin of the nftables table {_F} lacks `jump CNI-ADMIN`"
    ),
    nft(f"flush chain {_B} forward", f"chain forward of the nftables table {_B}"),
    nft(f"delete table {_F}", f"the nftables table {_F} is missing"),
    nft(f"delete table {_B}", f"the nftables table {_B} is missing"),
    nft(
        "add table inet strict\n"
        "add chain inet strict closed { type filter hook forward priority 0; policy drop; }",
        "chain closed of the nftables table inet strict drops what it does not know",
        "delete table inet strict",
    ),
]

TUNED = [
    inside(
        "sysctl -qw net.ipv4.conf.eth0.arp_filter=0",
        'sysctl net/ipv4/conf/eth0/arp_filter is "0", expected "1"',
    ),
    inside("ip link set eth0 promisc off", "interface eth0 is not in promiscuous mode"),
    inside("ip link set eth0 allmulticast off", "eth0"),
    inside("ip link set eth0 txqueuelen 7", "eth0"),
]

SHAPED = [
    host("tc qdisc delete dev $port root", "interface $port has the queueing discipline"),
    host(
        "tc qdisc change dev $port root handle 1: tbf rate 5mbit burst 100kb latency 25ms",
        "interface $port has the rate 5000000 bit/s, expected 20000000",
    ),
    host("ip link delete $ifb", "host interface $ifb does not exist"),
    host("ip link set $ifb down", "host interface $ifb is down"),
    host("ip link set $ifb mtu 1000", "interface $ifb has the MTU 1000, expected"),
    host(
        "tc qdisc change dev $ifb root handle 1: tbf rate 5mbit burst 100kb latency 25ms",
        "interface $ifb has the rate 5000000 bit/s, expected 40000000",
    ),
    host("tc qdisc delete dev $ifb root", "interface $ifb has the queueing discipline"),
    host(
        "tc qdisc delete dev $port ingress",
        "what comes in at $port is not redirected to $ifb",
    ),
    host(
        "tc filter delete dev $port ingress",
        "what comes in at $port is not redirected to $ifb",
    ),
]
