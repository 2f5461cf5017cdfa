"""The packet filter of an attachment: masquerade (`ipMasq`) and the MAC check (`macspoofchk`)."""

from __future__ import annotations

import errno

from hostnet import link, macspoof, masquerade, nft
from hostnet.netlink import NETLINK_NETFILTER, Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni import ip
    from cni_bridge.config import BridgeConfig


def setup(
    owner: str, config: BridgeConfig, port: str, mac: str, addresses: Iterable[ip.Interface]
) -> None:
    """Install what the config asks for. port: the host end. mac: the container's.

    Raises OSError, and may then have installed a part of it.
    """
    wanted = list(addresses)
    if config.ip_masq and wanted:
        with Netlink(NETLINK_NETFILTER) as nl:
            masquerade.add(nl, owner, wanted)
    if config.macspoofchk:
        macspoof.add(port, mac)


def teardown(owner: str, port: str) -> None:
    """Remove all of it, whatever the config says today; two look-ups where there is none.

    Raises OSError.
    """
    netfilter = _netfilter()
    if netfilter is not None:
        with netfilter as nl:
            macspoof.remove(nl, port)
            masquerade.remove(nl, owner)


def sweep(network: str, valid: Iterable[str]) -> None:
    """Remove what owners of this network that are not valid have, and what gone ports have.

    Raises OSError.
    """
    netfilter = _netfilter()
    if netfilter is None:
        return
    with netfilter as nl, Netlink() as links:
        masquerade.remove_strangers(nl, network, valid)
        macspoof.remove_strangers(nl, {one.name for one in link.dump(links, kind="veth")})


def _netfilter() -> Netlink | None:
    """A socket to look for what is there; None on a kernel without nftables, where nothing is."""
    try:
        return Netlink(NETLINK_NETFILTER)
    except OSError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return None
        raise


def problems(
    owner: str, config: BridgeConfig, port: str, mac: str, addresses: Iterable[ip.Interface]
) -> Iterator[str]:
    """What is missing of what `setup` installs, in words. Raises OSError."""
    wanted = list(addresses)
    with Netlink(NETLINK_NETFILTER) as nl:
        if config.ip_masq and wanted:
            yield from masquerade.problems(nl, owner, wanted)
        if config.macspoofchk:
            yield from macspoof.problems(nl, port, mac)


def require_nftables() -> None:
    """Raise OSError, with the reason, unless nftables can be used."""
    nft.load()
