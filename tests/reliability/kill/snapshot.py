"""What a namespace, and directories, hold: lines that two moments can be compared by.

Beside `tests.kit.leaks` it sees queueing disciplines, permanent neighbours, sysctls and the content
of files, and it takes 3 ms, since a matrix takes thousands of them: it asks the kernel itself. What
the kernel does by itself and in its own time is left out: loopback addresses, IPv6 link-local ones,
multicast routes, carriers, counters and ages.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

from hostnet import nft
from hostnet.netlink import Netlink, parse, to_str

_AF_BRIDGE = 7
_ADMINISTRATIVE = 0x1 | 0x80 | 0x100 | 0x200  # IFF_UP, NOARP, PROMISC, ALLMULTI
_PERMANENT = 0x80  # NUD_PERMANENT
_SHARED_FILES = ("lock", "last_reserved_ip.")
_CACHES = ("ipam-index",)
_SYSCTLS = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
_BY_DEVICE = {
    "net/ipv4/conf": (
        *("accept_local", "arp_filter", "arp_ignore", "arp_notify", "forwarding", "proxy_arp"),
        *("route_localnet", "rp_filter", "src_valid_mark"),
    ),
    "net/ipv6/conf": (
        *("accept_dad", "accept_ra", "addr_gen_mode", "autoconf", "disable_ipv6", "forwarding"),
        *("keep_addr_on_down", "ndisc_notify", "proxy_ndp"),
    ),
}
"""Those that plugins write, and their neighbours."""

Lines = frozenset[str]


def of_namespace() -> Lines:
    """Of the calling thread's namespace."""
    with Netlink() as nl:
        names = {0: "-"}
        macs: set[bytes] = set()
        found = set(_links(nl, names, macs))
        for ask in (_addresses, _routes, _rules, _qdiscs):
            found.update(ask(nl, names))
        found.update(_neighbours(nl, names, macs))
    found.update(_rules_of_nft())
    found.update(_sysctls())
    return frozenset(found)


def of_directories(directories: Iterable[Path]) -> Lines:
    """Files and their content, and directories, below these; not what attachments share."""
    found: set[str] = set()
    for top in directories:
        for path, folders, files in os.walk(top):
            folders[:] = [name for name in folders if name not in _CACHES]
            found |= {f"directory {path}/{name}" for name in folders}
            for name in files:
                if not name.startswith(_SHARED_FILES):
                    found.add(f"file {path}/{name} {Path(path, name).read_bytes()!r}")
    return frozenset(found)


def _links(nl: Netlink, names: dict[int, str], macs: set[bytes]) -> Iterator[str]:
    dumped = [body for _, body in nl.dump(18, struct.pack("=BxHiII", 0, 0, 0, 0, 0))]
    for body in dumped:
        names[struct.unpack_from("=i", body, 4)[0]] = to_str(parse(body, 16)[3])
    for body in dumped:
        index, flags = struct.unpack_from("=iI", body, 4)
        attrs = parse(body, 16)
        kind = parse(attrs.get(18, b"")).get(1, b"-\0")
        master = names.get(struct.unpack("=I", attrs.get(10, b"\0" * 4))[0])
        kept = {number: attrs.get(number, b"").hex() for number in (1, 4, 13, 20, 27, 30, 52)}
        if kind.startswith(b"bridge"):
            del kept[1]  # its MAC, unless somebody chose it, is random
            macs.add(attrs.get(1, b""))
        yield (
            f"link {names[index]} {to_str(kind)} flags {flags & _ADMINISTRATIVE:x}"
            f" master {master} {kept}"
        )


def _addresses(nl: Netlink, names: dict[int, str]) -> Iterator[str]:
    for _, body in nl.dump(22, struct.pack("=BBBBI", 0, 0, 0, 0, 0)):
        family, length, _, scope, index = struct.unpack_from("=BBBBI", body)
        attrs = parse(body, 8)
        address = ip_address(attrs.get(2) or attrs[1])
        if not address.is_loopback and not (family == socket.AF_INET6 and address.is_link_local):
            yield f"address {address}/{length} dev {names.get(index)} scope {scope}"


def _routes(nl: Netlink, names: dict[int, str]) -> Iterator[str]:
    for family in (socket.AF_INET, socket.AF_INET6):
        for _, body in nl.dump(26, struct.pack("=BBBBBBBBI", family, *(0,) * 7, 0)):
            _, length, source, _, table, protocol, scope, kind, _ = struct.unpack_from(
                "=BBBBBBBBI", body
            )
            attrs = parse(body, 12)
            to = ip_address(attrs.get(1, b"\0" * (4 if family == socket.AF_INET else 16)))
            if to.is_loopback or (
                family == socket.AF_INET6 and (to.is_link_local or to.is_multicast)
            ):
                continue
            dev = names.get(struct.unpack("=I", attrs.get(4, b"\0" * 4))[0])
            rest = {number: attrs.get(number, b"").hex() for number in (2, 5, 6, 7, 8, 9)}
            yield (
                f"route {to}/{length} from {source} table {table} proto {protocol} scope {scope}"
                f" type {kind} dev {dev} {rest}"
            )


def _rules(nl: Netlink, _names: dict[int, str]) -> Iterator[str]:
    for family in (socket.AF_INET, socket.AF_INET6):
        for _, body in nl.dump(34, struct.pack("=BBBBBBBBI", family, *(0,) * 7, 0)):
            yield f"rule {body.hex()}"


def _neighbours(nl: Netlink, names: dict[int, str], macs: set[bytes]) -> Iterator[str]:
    for family in (socket.AF_INET, socket.AF_INET6, _AF_BRIDGE):
        for _, body in nl.dump(30, struct.pack("=BBHiHBB", family, 0, 0, 0, 0, 0, 0)):
            index, state, flags = struct.unpack_from("=iHB", body, 4)
            attrs = parse(body, 12)
            of = attrs.get(1, b"") if family != _AF_BRIDGE else attrs.get(2, b"")
            multicast = of[:1] in (b"\xff", b"\x33", b"\x01") or of[:1] >= b"\xe0"
            if state & _PERMANENT and not multicast and of not in macs and index != 1:
                yield (
                    f"neighbour {of.hex()} {attrs.get(2, b'').hex()} flags {flags}"
                    f" dev {names.get(index)}"
                )


def _qdiscs(nl: Netlink, names: dict[int, str]) -> Iterator[str]:
    for _, body in nl.dump(38, struct.pack("=BxxxiIII", 0, 0, 0, 0, 0)):
        index, handle, parent = struct.unpack_from("=iII", body, 4)
        kind = to_str(parse(body, 20)[1])
        if index != 1:
            yield f"qdisc {kind} {handle:x} parent {parent:x} dev {names.get(index)}"


def _rules_of_nft() -> Iterator[str]:
    """Those of iptables too; of equal ones, how many there are."""
    counts: Counter[str] = Counter()
    table = chain = ""
    for line in nft.run("list ruleset").splitlines():
        text = line.strip()
        if line.startswith("table"):
            table, chain = text, ""
        elif line.startswith("\t") and not line.startswith("\t\t"):
            chain = text
        counts[f"nft {table} {chain} {text}"] += 1
    for text, count in counts.items():
        yield f"{text} x{count}" if count > 1 else text


def _sysctls() -> Iterator[str]:
    for name in _SYSCTLS:
        yield f"sysctl {name} {_value(name)}"
    for top, names in _BY_DEVICE.items():
        for device in os.listdir(f"/proc/sys/{top}"):
            for one in names:
                yield f"sysctl {top}/{device}/{one} {_value(f'{top}/{device}/{one}')}"


def _value(name: str) -> str:
    try:
        fd = os.open(f"/proc/sys/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "-"
    try:
        return os.read(fd, 200).decode(errors="replace").strip()
    except OSError:
        return "-"
    finally:
        os.close(fd)


def difference(before: Lines, now: Lines) -> list[str]:
    """What came, with `+`, and what went, with `-`; sysctls of a device only where it stays."""
    came, went = now - before, before - now
    devices = {one.split()[1] for one in came ^ went if one.startswith("link ")}
    changed = {one.split()[1] for one in came if one.startswith("sysctl ")} & {
        one.split()[1] for one in went if one.startswith("sysctl ")
    }

    def counts(one: str) -> bool:
        words = one.split()
        if words[0] != "sysctl" or words[1] in changed:
            return True
        return not devices & set(words[1].split("/"))

    return [
        *(f"+ {one}" for one in sorted(came) if counts(one)),
        *(f"- {one}" for one in sorted(went) if counts(one)),
    ]
