"""Which routes go into which table: pure data, no kernel.

Each address has a table of its own, since its subnet may be another's too. A way goes into the
tables of those addresses in whose subnet its gateway or its source lies, and where it says neither
or lies in none, into the tables of all addresses of its family. (In the reference such a way is
lost if it has a gateway.) Ways to link-local destinations stay where they are as well: what is sent
from a link-local address is no rule's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.ip import Address, Network
    from cni.result import IPConfig

_FIRST_TABLE = 100
_RESERVED = frozenset({253, 254, 255})  # default, main and local, linux/rtnetlink.h


def free_tables(used: Iterable[int], count: int) -> list[int]:
    """The first tables from 100 on that nobody uses."""
    taken = _RESERVED.union(used)
    found: list[int] = []
    number = _FIRST_TABLE
    while len(found) < count:
        if number not in taken:
            found.append(number)
        number += 1
    return found


def owners(
    tables: Iterable[tuple[IPConfig, int]], version: int, hints: Iterable[Address | None]
) -> list[int]:
    """The tables that a way of an IP version goes into.

    tables: each address with its own. hints: the way's gateway and its source, where it has them.
    """
    mine = [(one.address.network, table) for one, table in tables if one.address.version == version]
    known = [hint for hint in hints if hint is not None]
    found = [table for subnet, table in mine if any(hint in subnet for hint in known)]
    return found or [table for _, table in mine]


def stays(destination: Network) -> bool:
    """Whether a way there is left in the main table too."""
    return destination.is_link_local or destination.is_multicast
