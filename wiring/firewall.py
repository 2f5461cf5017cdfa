"""The packet filter of an attachment: masquerade (`ipMasq`) and the MAC check (`macspoofchk`).

Masquerade is by nftables or by iptables (`backend`). What is removed is looked for in both, and
among the rules of the reference suite, for containers that it or another backend has added.

Functions import what they use: an ADD uses one of the two, or neither.
"""

from __future__ import annotations

from ipaddress import ip_interface

from hostnet import link, netfilter
from hostnet.netfilter import Netfilter
from hostnet.netlink import Netlink
from wiring import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Protocol

    from cni import ip
    from hostnet.iptables_look import Here
    from wiring.steps import Steps

    class Filtered(Protocol):
        """What a network asks of the packet filter; see `wiring.bridged`."""

        @property
        def ip_masq(self) -> bool: ...
        @property
        def masq_backend(self) -> str: ...
        @property
        def macspoofchk(self) -> bool: ...
        @property
        def inside(self) -> tuple[ip.Network, ...]: ...


_REFERENCE = "cni_plugins_masquerade"
"""The table of the reference's nftables backend."""


def setup(
    owner: str, config: Filtered, port: str, mac: str, addresses: Iterable[ip.Interface]
) -> None:
    """Install what the config asks for. port: the host end. mac: the container's.

    Raises OSError, and may then have installed a part of it.
    """
    wanted = masqueraded(config, addresses)
    if wanted:
        _masquerade(owner, config, wanted)
    if config.macspoofchk:
        from hostnet import macspoof

        macspoof.add(port, mac)


def _masquerade(owner: str, config: Filtered, wanted: list[ip.Interface]) -> None:
    nl = backend.open_nftables(config.masq_backend or backend.of_host())
    if nl is not None:
        from hostnet import masquerade

        with nl:
            masquerade.add(nl, owner, wanted)
        return
    from wiring import iptables_masq

    iptables_masq.add(owner, wanted)


def restore(
    owner: str, config: Filtered, port: str, mac: str, addresses: Iterable[ip.Interface]
) -> bool:
    """Lay down again what is lost of what `setup` of the same has installed; whether any was.

    Raises OSError.
    """
    wanted = masqueraded(config, addresses)
    changed = bool(wanted) and _restore_masquerade(owner, config, wanted)
    if config.macspoofchk:
        from hostnet import macspoof

        with Netfilter.open() as nl:
            changed |= macspoof.restore(nl, port, mac)
    return changed


def _restore_masquerade(owner: str, config: Filtered, wanted: list[ip.Interface]) -> bool:
    """By the backend that is chosen today, unless the other one has all of it."""
    nl = backend.open_nftables(config.masq_backend or backend.of_host())
    if nl is None:
        from wiring import iptables_masq

        if not config.masq_backend and not _masquerade_problems(owner, config, wanted):
            return False
        return iptables_masq.add(owner, wanted)
    from hostnet import masquerade
    from hostnet.iptables_batch import once
    from hostnet.iptables_look import Here

    with nl:
        in_use = not config.masq_backend and once("nat", lambda: bool(Here(nl).any("nat")))
        if in_use and not masquerade.is_known(nl, owner):
            has = _has_chain(Here(nl), owner)
            if has and not _problems_by(None, owner, wanted):
                return False
        return masquerade.add(nl, owner, wanted, thorough=True)


class Remover:
    """`with Remover() as remover:` what takes rules away, open for the whole of a DEL or GC.

    Closing its socket waits for what was removed to be freed, 10 ms of RCU in the kernel. To delete
    a link waits as long, and when the socket is closed after that, both waits are one. On a kernel
    without nftables there is nothing to remove.
    """

    __slots__ = ("_nl",)

    def __enter__(self) -> Remover:
        self._nl = netfilter.find()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._nl is not None:
            self._nl.close()

    def remove(self, owner: str, port: str) -> None:
        """Remove all of an owner's, whatever the config says today; a few looks if it is nothing.

        Raises OSError.
        """
        from hostnet.iptables_look import Here

        if self._nl is not None:
            from hostnet import macspoof, masquerade

            macspoof.remove(self._nl, port)
            masquerade.remove(self._nl, owner)
        here = Here.settled(self._nl)
        if here.any("nat"):
            _remove_by_iptables(here, owner)
        if ("inet", _REFERENCE) in here.tables:
            from wiring import reference_masq

            reference_masq.remove(here, owner)

    def sweep(self, network: str, valid: Iterable[str], steps: Steps) -> None:
        """Remove what owners of this network that are not valid have, and what gone ports have.

        Each by a step of its own. Raises OSError where nobody can tell what there is.
        """
        from hostnet.iptables_look import Here

        if self._nl is not None:
            steps.run(self._sweep_masquerade, self._nl, network, valid, steps)
            steps.run(self._sweep_macspoof, self._nl, steps)
        here = Here.settled(self._nl)
        if here.any("nat"):
            from wiring import iptables_masq

            steps.run(iptables_masq.remove_strangers, here, network, valid)
        if ("inet", _REFERENCE) in here.tables:
            from wiring import reference_masq

            steps.run(reference_masq.remove_strangers, here, network, valid)

    @staticmethod
    def _sweep_masquerade(nl: Netfilter, network: str, valid: Iterable[str], steps: Steps) -> None:
        from hostnet import masquerade

        for owner in masquerade.strangers(nl, network, valid):
            steps.run(masquerade.remove_owner, nl, owner)

    @staticmethod
    def _sweep_macspoof(nl: Netfilter, steps: Steps) -> None:
        from hostnet import macspoof

        with Netlink() as links:
            ports = {one.name for one in link.dump(links, kind="veth")}
        for port in macspoof.strangers(nl, ports):
            steps.run(macspoof.remove, nl, port)


def _has_chain(here: Here, owner: str) -> list[tuple[int, str]]:
    """Where the owner's container has a chain of iptables."""
    from wiring import xtables

    network, container, _ = owner.split("/")
    return here.with_chain("nat", xtables.chain(network, container))


def _remove_by_iptables(here: Here, owner: str) -> None:
    places = _has_chain(here, owner)
    if places:
        from wiring import iptables_masq

        iptables_masq.remove(places, owner)


def teardown(owner: str, port: str) -> None:
    """Undo `setup`, all or a part of it. Raises OSError."""
    with Remover() as remover:
        remover.remove(owner, port)


def problems(
    owner: str, config: Filtered, port: str, mac: str, addresses: Iterable[ip.Interface]
) -> Iterator[str]:
    """What is missing of what `setup` installs, in words. Raises OSError."""
    wanted = masqueraded(config, addresses)
    if wanted:
        yield from _masquerade_problems(owner, config, wanted)
    if config.macspoofchk:
        from hostnet import macspoof

        with Netfilter.open() as nl:
            yield from macspoof.problems(nl, port, mac)


def _masquerade_problems(owner: str, config: Filtered, wanted: list[ip.Interface]) -> list[str]:
    """What is missing by the backend that is chosen today, or by the other one if that has it.

    For where the config leaves it to the host, an ADD may have chosen otherwise.
    """
    chosen = config.masq_backend or backend.of_host()
    nl = backend.open_nftables(chosen)
    found = _problems_by(nl, owner, wanted)
    if found and not config.masq_backend:
        try:
            other = Netfilter.open() if nl is None else None
            return found if _problems_by(other, owner, wanted) else []
        except OSError:  # which this host has not
            return found
    return found


def _problems_by(nl: Netfilter | None, owner: str, wanted: list[ip.Interface]) -> list[str]:
    """What is missing by nftables, or without a socket by iptables."""
    if nl is not None:
        from hostnet import masquerade

        with nl:
            return masquerade.problems(nl, owner, wanted)
    from wiring import iptables_masq

    return list(iptables_masq.problems(owner, wanted))


def masqueraded(config: Filtered, addresses: Iterable[ip.Interface]) -> list[ip.Interface]:
    """The addresses to masquerade, each with the prefix length of what it reaches as itself.

    That is its own subnet or, where one of `inside` around it is larger, the largest of those.
    """
    if not config.ip_masq:
        return []
    return [_widened(one, config.inside) for one in addresses]


def _widened(address: ip.Interface, inside: Iterable[ip.Network]) -> ip.Interface:
    around = (one.prefixlen for one in inside if address.ip in one)
    length = min(around, default=address.network.prefixlen)
    return address if length >= address.network.prefixlen else ip_interface((address.ip, length))


def require(config: Filtered) -> None:
    """Raise OSError or CniError, with the reason, unless what the config asks for can be done."""
    if config.macspoofchk:
        require_nftables()
    if not config.ip_masq:
        return
    nl = backend.open_nftables(config.masq_backend or backend.of_host())
    if nl is not None:
        nl.close()
        require_nftables()
        return
    backend.require_iptables()


def require_nftables() -> None:
    """Raise OSError, with the reason, unless nftables can be used."""
    from hostnet import nft

    with Netfilter.open() as nl:
        nl.require()
    nft.load()
