"""Published ports as iptables rules, of the reference's names and order, and read back from them.

    PREROUTING, OUTPUT    -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
    POSTROUTING           "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ     first of all
    CNI-HOSTPORT-DNAT     -p tcp "dnat name: …" -m multiport --dports 8080 -j CNI-DN-623e1c38…
    CNI-DN-623e1c38…      -s 10.1.0.0/24 -p tcp --dport 8080 "net/c1/eth0" -j CNI-HOSTPORT-SETMARK
                          -s 127.0.0.1/32 -p tcp --dport 8080 "net/c1/eth0" -j CNI-HOSTPORT-SETMARK
                          -p tcp --dport 8080 "net/c1/eth0" -j DNAT --to-destination 10.1.0.2:80
    CNI-HOSTPORT-SETMARK  -j MARK --set-xmark 0x2000/0x2000
    CNI-HOSTPORT-MASQ     -m mark --mark 0x2000/0x2000 -j MASQUERADE

and of our own, in the table raw, what the nftables backend has too: nobody reaches what the host
has on 127.0.0.1 by way of a link that routes such addresses.

    PREROUTING            -j CNI-HOSTPORT-GUARD
    CNI-HOSTPORT-GUARD    -d 127.0.0.0/8 ! -i lo -j DROP, -s 127.0.0.0/8 ! -i lo -j DROP
"""

from __future__ import annotations

from ipaddress import ip_address

from cni_portmap.config import PROTOCOLS
from cni_portmap.tables import ALL, NEAR, Published
from hostnet.iptables import leads_to, option, words
from wiring import xtables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cni_portmap.config import Config
    from hostnet.iptables import Chains

TABLE, GUARD_TABLE = "nat", "raw"
DNAT, SETMARK, MASQ = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"
GUARD = "CNI-HOSTPORT-GUARD"
PREFIX = "DN-"
_OLDER_SNAT, _OLDER_PREFIX = "CNI-HOSTPORT-SNAT", "SN-"
_PORTS_A_RULE = 15  # XT_MULTI_PORTS
_NAMES = {number: name for name, number in PROTOCOLS.items()}
_GUARD_RULES = (
    "-d 127.0.0.0/8 ! -i lo -j DROP",
    "-s 127.0.0.0/8 ! -i lo -j DROP",
)


def chain_of(owner: str) -> str:
    """The chain of the owner's container on its network."""
    network, container, _ = owner.split("/")
    return xtables.chain(network, container, PREFIX)


def rules(
    config: Config, owner: str, published: Iterable[Published], subnets: Mapping[int, str]
) -> list[str]:
    """The rules of the container's chain for these ports of one IP version.

    subnets: of the container's addresses, by IP version: who is in it is near.
    """
    comment = xtables.comment(xtables.label(owner))
    mark = config.mark_chain or SETMARK
    found = []
    for one in published:
        host = f"-d {one.host}/{one.host.max_prefixlen} " if one.host is not None else ""
        name = _NAMES[one.protocol]
        rest = f"{host}-p {name} -m {name} --dport {one.host_port} {comment} -j"
        if one.flags & ALL:
            found.append(f"{rest} {mark}")
        elif one.flags & NEAR:
            found.append(f"-s {subnets[one.version]} {rest} {mark}")
            if one.version == 4:
                found.append(f"-s 127.0.0.1/32 {rest} {mark}")
        at = f"[{one.container}]" if one.version == 6 else str(one.container)
        found.append(f"{rest} DNAT --to-destination {at}:{one.container_port}")
    return found


def entries(config: Config, owner: str, published: Iterable[Published], version: int) -> list[str]:
    """The rules of DNAT that lead to the container's chain: 15 ports each, with the conditions."""
    network, container, _ = owner.split("/")
    comment = xtables.comment(f'dnat name: "{network}" id: "{container}"')
    condition = config.conditions.get(version, "")
    ports: dict[str, list[str]] = {}
    for one in published:
        of = ports.setdefault(_NAMES[one.protocol], [])
        if str(one.host_port) not in of:
            of.append(str(one.host_port))
    return [
        f"-p {name} {comment} -m multiport --dports {','.join(of[at : at + _PORTS_A_RULE])} "
        + (f"{condition} " if condition else "")
        + f"-j {chain_of(owner)}"
        for name, of in sorted(ports.items())
        for at in range(0, len(of), _PORTS_A_RULE)
    ]


def shared(config: Config, chains: Chains) -> Iterator[str]:
    """The commands for what all containers share in the table nat, as far as it is missing."""
    for name in (DNAT,) if not _marks(config) else (DNAT, SETMARK, MASQ):
        if name not in chains:
            yield f":{name} - [0:0]"
    yield from (f"-{how} {chain} {rule}" for how, chain, rule in missing(config, chains))


def missing(config: Config, chains: Chains) -> Iterator[tuple[str, str, str]]:
    """The shared rules that are missing: how to add one (A, or I for in front), chain and rule."""
    for chain in ("PREROUTING", "OUTPUT"):
        if not any(leads_to(one, DNAT) for one in chains.get(chain, ())):
            yield "A", chain, f"-m addrtype --dst-type LOCAL -j {DNAT}"
    if not _marks(config):
        return
    mark = f"{1 << config.mark_bit:#x}/{1 << config.mark_bit:#x}"
    if not any(f"--set-xmark {mark}" in one for one in chains.get(SETMARK, ())):
        comment = xtables.comment("CNI portfwd masquerade mark")
        yield "A", SETMARK, f"{comment} -j MARK --set-xmark {mark}"
    if not any(f"--mark {mark} -j MASQUERADE" in one for one in chains.get(MASQ, ())):
        yield "A", MASQ, f"-m mark --mark {mark} -j MASQUERADE"
    if not any(leads_to(one, MASQ) for one in chains.get("POSTROUTING", ())):
        comment = xtables.comment("CNI portfwd requiring masquerade")
        # In front, or the masquerade of containers' own packets would keep these from here.
        yield "I", "POSTROUTING", f"{comment} -j {MASQ}"


def _marks(config: Config) -> bool:
    """Whether packets are marked by our own chain."""
    return config.snat and not config.mark_chain


def shadow(chains: Chains, one: Published) -> str:
    """A rule of somebody else's that gets what is for this port before ours do; empty for none.

    Told is what is certain: a rule in front of our chain, or first of all in it, that wants nothing
    but a protocol and this port.
    """
    hook = chains.get("PREROUTING", ["-"])[1:]
    jump = next((at for at, rule in enumerate(hook) if leads_to(rule, DNAT)), len(hook))
    for rule in (*hook[:jump], *chains.get(DNAT, ["-"])[1:]):
        of = words(rule)
        leads = option(of, "-j") in ("DNAT", "REDIRECT")
        plain = {*of[::2]} <= {"-p", "-m", "--dport", "-j", "--to-destination", "--to-ports"}
        wanted = _NAMES[one.protocol], str(one.host_port)
        if leads and plain and (option(of, "-p"), option(of, "--dport")) == wanted:
            return rule
    return ""


def guard(chains: Chains) -> list[str]:
    """The commands for the guard of localhost in the table raw, none where it stands."""
    there = chains.get(GUARD, [])[1:]
    commands = []
    if there != list(_GUARD_RULES):
        commands = [f":{GUARD} - [0:0]", *(f"-A {GUARD} {rule}" for rule in _GUARD_RULES)]
    if not any(leads_to(one, GUARD) for one in chains.get("PREROUTING", ())):
        commands.append(f"-I PREROUTING -j {GUARD}")
    return commands


def without_older(name: str, chains: Chains) -> list[str]:
    """The commands for what a container of the reference before 0.7 has beside its chain."""
    older = name.replace(PREFIX, _OLDER_PREFIX, 1)
    if older not in chains:
        return []
    jumps = [one for one in chains.get(_OLDER_SNAT, [])[1:] if leads_to(one, older)]
    return [*(f"-D {_OLDER_SNAT} {one}" for one in jumps), f"-F {older}", f"-X {older}"]


def published(rule: str, version: int) -> Published | None:
    """The port that a rule of a container's chain publishes; None for one that marks packets."""
    if " DNAT --to-destination " not in rule:
        return None
    found = words(rule)
    host = option(found, "-d").partition("/")[0]
    address, _, port = option(found, "--to-destination").rpartition(":")
    try:
        return Published(
            version=version,
            protocol=PROTOCOLS[option(found, "-p")],
            host_port=int(option(found, "--dport")),
            host=ip_address(host) if host else None,
            container=ip_address(address.strip("[]")),
            container_port=int(port),
        )
    except (KeyError, ValueError):  # somebody else's
        return None


def owner_of(rule: str) -> str:
    """The label of a rule's owner; empty for one of the reference's."""
    return xtables.commented(rule)


def ports_of(rule: str) -> set[tuple[str, str]]:
    """(protocol, port) of a rule that leads to a container's chain, or is in one."""
    found = words(rule)
    ports = option(found, "--dports", "--destination-ports", "--dport", "--destination-port")
    return {(option(found, "-p"), port) for port in ports.split(",")}


def names_of(entry: str) -> tuple[str, str]:
    """Network and container of a rule that leads to a chain, by the reference's comment.

    Empty where it is cut short, or says nothing.
    """
    start, middle = 'dnat name: "', '" id: "'
    said = xtables.commented(entry)
    if not said.startswith(start) or middle not in said or not said.endswith('"'):
        return "", ""
    network, _, container = said[len(start) : -1].partition(middle)
    return network, container
