"""The host's own settings: forwarding, sysctls, and other people's rules in the way."""

from __future__ import annotations

from cni.errors import CniError
from cni_firewall import forward
from cnitool.doctor.model import ERROR, NOTE, OK, WARNING, Finding
from hostnet import netfilter
from hostnet.iptables import IptablesError, Tool
from hostnet.iptables_look import Here
from hostnet.nfchain import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnitool.doctor.model import Host
    from hostnet.netfilter import Netfilter

_FORWARDING = {
    4: ("net.ipv4.ip_forward", ("bridge", "ptp", "vxlan", "portmap")),
    6: ("net.ipv6.conf.all.forwarding", ("bridge", "ptp", "vxlan", "portmap")),
}
_BRIDGED = "net.bridge.bridge-nf-call-iptables"
_TRACKED = ("net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max")
_NEARLY = 0.8
_REFERENCES = frozenset({"cni_hostport", "cni_plugins_masquerade"})
_DOCKER = "DOCKER-USER"


def sysctl(name: str) -> str:
    """Its value; empty where the kernel has none of the name."""
    path = "/proc/sys/" + name.replace(".", "/")
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def settings(host: Host) -> Iterator[Finding]:
    """Forwarding, bridged packets in iptables, connection tracking, neighbours."""
    found = [*_switches(host), *_few_neighbours()]
    yield from found
    if all(one.level == NOTE for one in found):
        yield Finding(OK, "sysctl", "forwarding and connection tracking are as containers need it")


def _switches(host: Host) -> Iterator[Finding]:
    for version, (name, users) in _FORWARDING.items():
        used = any(each.version == version for one in host.seen.attachments for each in one.ips)
        if sysctl(name) == "0" and used and host.uses(*users):
            text = f"the host does not forward IPv{version}, and containers have such addresses"
            yield Finding(ERROR, "sysctl", text, f"sysctl -w {name}=1, and in /etc/sysctl.d")
    if sysctl(_BRIDGED) == "1":
        text = f"{_BRIDGED} is 1: packets between containers of one bridge pass the host's filter"
        yield Finding(NOTE, "sysctl", text, f"sysctl -w {_BRIDGED}=0, unless kube-proxy needs it")
    count, most = (sysctl(name) for name in _TRACKED)
    if count and most and int(count) > int(most) * _NEARLY:
        text = f"{count} of {most} connections are tracked; beyond that packets are dropped"
        yield Finding(WARNING, "sysctl", text, f"sysctl -w {_TRACKED[1]}={int(most) * 2}")


def _few_neighbours() -> Iterator[Finding]:
    """Neighbour tables: with more containers than that, packets are lost at random."""
    name = "net.ipv4.neigh.default.gc_thresh3"
    most = sysctl(name)
    if most and most.isdecimal() and int(most) < _FEWEST_NEIGHBOURS:
        text = f"{name} is {most}: fewer neighbours than containers that one bridge may hold"
        yield Finding(WARNING, "sysctl", text, f"sysctl -w {name}={2 * _FEWEST_NEIGHBOURS}")


_FEWEST_NEIGHBOURS = 1024


def forwarding(host: Host) -> Iterator[Finding]:
    """Whether some chain drops what containers send through the host."""
    nl = netfilter.find()
    if nl is None:
        return
    with nl:
        if not nl.available():
            return
        found = list(_shut(nl, host))
    yield from found
    if not found:
        yield Finding(OK, "firewall", "nothing is certain to drop what containers send")


def _shut(nl: Netfilter, host: Host) -> Iterator[Finding]:
    try:
        forward.require_way(nl, (4, 6))
    except CniError as error:
        level = ERROR if host.seen.attachments else WARNING
        text, _, remedy = error.msg.partition(": nft ")
        yield Finding(level, "firewall", text, f"nft {remedy}" if remedy else "")
    for version, kind in Here(nl).with_table("filter"):
        try:
            chains = Tool(version, kind).save("filter").get("filter", {})
        except IptablesError as error:
            yield Finding(WARNING, "firewall", str(error), "apt install iptables")
            continue
        policy = chains.get("FORWARD", ["ACCEPT"])[0]
        if policy == "DROP" and "CNI-PASS" not in chains and "CNI-FORWARD" not in chains:
            whose = "Docker's" if _DOCKER in chains else "this host's"
            text = (
                f"{whose} iptables ({kind}, IPv{version}) drops what is forwarded, and nothing "
                "lets containers through"
            )
            yield Finding(
                WARNING, "firewall", text, 'add {"type": "firewall"} to the networks\' plugins'
            )


def others(host: Host) -> Iterator[Finding]:
    """Rules that the reference suite left, and both iptables at once."""
    nl = netfilter.find()
    if nl is None:
        return
    with nl:
        here = Here(nl)
        names = {name for _family, name in tables(nl)} if nl.available() else set()
        kinds = {kind for table in ("nat", "filter") for _, kind in here.with_table(table)}
    left = sorted(names & _REFERENCES)
    if left:
        text = f"the reference suite has rules here: nftables tables {', '.join(left)}"
        yield Finding(NOTE, "firewall", text, "they go with the DEL of their containers")
    if host.seen.strange_mappings:
        ports = ", ".join(str(one) for one in host.seen.strange_mappings[:3])
        text = f"{len(host.seen.strange_mappings)} ports are published by the reference: {ports}"
        yield Finding(NOTE, "firewall", text, "they go with the DEL of their containers")
    if len(kinds) > 1:
        text = "both iptables-nft and iptables-legacy have rules: a packet must pass both"
        yield Finding(WARNING, "firewall", text, "update-alternatives --config iptables")
