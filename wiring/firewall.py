"""The packet filter of an attachment: masquerade (`ipMasq`) and the MAC check (`macspoofchk`)."""

from __future__ import annotations

from ipaddress import ip_interface

from hostnet import link, macspoof, masquerade, netfilter, nft
from hostnet.netfilter import Netfilter
from hostnet.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Protocol

    from cni import ip

    class Filtered(Protocol):
        """What a network asks of the packet filter; see `wiring.bridged`."""

        @property
        def ip_masq(self) -> bool: ...
        @property
        def macspoofchk(self) -> bool: ...
        @property
        def inside(self) -> tuple[ip.Network, ...]: ...


def setup(
    owner: str, config: Filtered, port: str, mac: str, addresses: Iterable[ip.Interface]
) -> None:
    """Install what the config asks for. port: the host end. mac: the container's.

    Raises OSError, and may then have installed a part of it.
    """
    wanted = masqueraded(config, addresses)
    if wanted:
        with Netfilter.open() as nl:
            masquerade.add(nl, owner, wanted)
    if config.macspoofchk:
        macspoof.add(port, mac)


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
        """Remove all of an owner's, whatever the config says today; two look-ups if it is nothing.

        Raises OSError.
        """
        if self._nl is not None:
            macspoof.remove(self._nl, port)
            masquerade.remove(self._nl, owner)

    def sweep(self, network: str, valid: Iterable[str]) -> None:
        """Remove what owners of this network that are not valid have, and what gone ports have.

        Raises OSError.
        """
        if self._nl is not None:
            masquerade.remove_strangers(self._nl, network, valid)
            with Netlink() as links:
                ports = {one.name for one in link.dump(links, kind="veth")}
            macspoof.remove_strangers(self._nl, ports)


def teardown(owner: str, port: str) -> None:
    """Undo `setup`, all or a part of it. Raises OSError."""
    with Remover() as remover:
        remover.remove(owner, port)


def problems(
    owner: str, config: Filtered, port: str, mac: str, addresses: Iterable[ip.Interface]
) -> Iterator[str]:
    """What is missing of what `setup` installs, in words. Raises OSError."""
    wanted = masqueraded(config, addresses)
    with Netfilter.open() as nl:
        if wanted:
            yield from masquerade.problems(nl, owner, wanted)
        if config.macspoofchk:
            yield from macspoof.problems(nl, port, mac)


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


def require_nftables() -> None:
    """Raise OSError, with the reason, unless nftables can be used."""
    nft.load()
