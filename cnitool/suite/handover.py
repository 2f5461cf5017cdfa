"""Hand running containers over to another suite: their rules, to where it finds them.

A DEL of the reference suite knows iptables chains and not this suite's tables of nftables. A rule
that it leaves would send a host port to whoever gets the address next. So before its executables
come back, masquerade, published ports and the firewall's accepts of all running containers are laid
down by iptables, under the reference's own names, by the same functions that heal what a firewall's
reload has taken. Connections that exist go on; new ones wait for the fraction of a second that it
takes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from cni.errors import INVALID_ENVIRONMENT, CniError
from cnitool.heal import healer
from hostnet import nft
from hostnet.iptables import IptablesError
from libcni.cache import Cache
from libcni.conf import network_from_bytes
from wiring import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cnitool.settings import Settings

_TABLES = ("pycni_masquerade", "pycni_portmap", "pycni_firewall")
"""What iptables can hold too. Not pycni_vxlan and pycni_macspoof: no reference knows the like."""
_CHOICE = b'{"backend": "iptables"}\n'


class Handover:
    """A host whose suite changes. `settings.path` has to be the directory of ours."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._host = Path(backend.FILE)
        self._before: bytes | None = None
        self._chosen = False

    def begin(self) -> Iterator[str]:
        """Move all rules to iptables; says what was done. New ones go there until `end`.

        Raises CniError where there is no iptables, OSError.
        """
        tables = _tables()
        if not tables:
            return
        try:
            backend.require_iptables()
        except IptablesError as error:
            raise CniError(
                INVALID_ENVIRONMENT,
                f"containers have rules in {', '.join(name for _, name in tables)}, which another "
                "suite's DEL does not find, and iptables, where it looks, cannot be used",
                f"{error}; install iptables, or take all containers away first, or leave the rules "
                "there with --keep-rules and delete the tables when the containers are gone",
            ) from None
        known = set(healer(self._settings).look(dry_run=True).problems)
        self._choose()
        nft.run("".join(f"delete table {family} {name}\n" for family, name in tables))
        found = healer(self._settings).look()
        problems = [one for one in found.problems if one not in known]
        if problems:
            self.end()
            again = [one for one in healer(self._settings).look().problems if one not in known]
            raise CniError(
                INVALID_ENVIRONMENT,
                f"the rules of {found.running} running containers cannot be moved to iptables, "
                "expected it to take all of them; nothing was removed, "
                + ("and they are not back: cnitool heal" if again else "and they are back"),
                "; ".join(problems),
            )
        yield f"moved the rules of {found.running} running attachments to iptables"
        yield from found.problems
        for family, name in _tables():
            yield (
                f'left table {family} {name}: a network says "backend": "nftables"; '
                f"`nft delete table {family} {name}` when its containers are gone"
            )

    def end(self) -> None:
        """Take back what `begin` has chosen for the host, if it has; once."""
        if not self._chosen:
            return
        self._chosen = False
        if self._before is None:
            self._host.unlink(missing_ok=True)
        else:
            self._write(self._before)

    def _choose(self) -> None:
        """Of the file of the host: for calls and for healing, while the suite is still ours."""
        if self._host.exists():
            self._before = self._host.read_bytes()
        self._host.parent.mkdir(parents=True, exist_ok=True)
        self._chosen = True
        self._write(_CHOICE)

    def _write(self, data: bytes) -> None:
        unfinished = self._host.with_name(f".{self._host.name}.{os.getpid()}")
        unfinished.write_bytes(data)
        unfinished.replace(self._host)


def strangers(settings: Settings, coming: set[str]) -> Iterator[str]:
    """What of the attachments in the cache the suite that comes could not take away."""
    entries, _ = Cache(settings.cache_dir).scan()
    for entry in entries:
        try:
            needed = network_from_bytes(entry.config, "the cache").executables
        except CniError:
            continue
        missing = sorted(needed - coming)
        if missing:
            yield (
                f"{entry.network} {entry.container_id} {entry.ifname}: its DEL needs "
                f"{', '.join(missing)}, of which there will be none"
            )


def _tables() -> list[tuple[str, str]]:
    """Family and name of each table that is there and that iptables can stand in for."""
    try:
        words = (line.split() for line in nft.run("list tables").splitlines())
        return [(one[1], one[2]) for one in words if len(one) > 2 and one[2] in _TABLES]
    except nft.NftError as error:
        sys.stderr.write(f"{error}\n")
        return []
