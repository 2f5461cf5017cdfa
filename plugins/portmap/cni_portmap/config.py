"""What a `portmap` config says, every key checked before anything is done."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, UNSUPPORTED_FIELD, CniError
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Address
    from cni.jsonvalue import JsonObject

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}  # <netinet/in.h>
_LATER = "which a later release brings"
# IPv4 and IPv6 that a host address stands for where it is "any" of them.
_ANY = {"": (4, 6), "0.0.0.0": (4,), "::": (6,)}  # noqa: S104 (nothing is bound here)


@record
class Mapping:
    """One of `portMappings`.

    place: its path in the config. host: None for all addresses of the host of these versions.
    """

    place: str
    host_port: int
    container_port: int
    protocol: int
    host: Address | None
    versions: tuple[int, ...]


@record
class Config:
    """conditions: by IP version, an nft expression that packets must match; absent for none."""

    mappings: tuple[Mapping, ...]
    snat: bool
    masq_all: bool
    conditions: dict[int, str]


def read(config: JsonObject) -> Config:
    """Check the config. Raises CniError: INVALID_CONFIG, or UNSUPPORTED_FIELD for what only the
    `iptables` backend can do.
    """
    _refuse_iptables(config)
    conditions = {
        version: text
        for version, key in ((4, "conditionsV4"), (6, "conditionsV6"))
        if (text := _conditions(config, key))
    }
    runtime = config.object("runtimeConfig")
    return Config(
        mappings=tuple(_mapping(item) for item in runtime.objects("portMappings")),
        snat=config.boolean("snat", default=True),
        masq_all=config.boolean("masqAll"),
        conditions=conditions,
    )


def _refuse_iptables(config: JsonObject) -> None:
    backend = config.choice("backend", ("nftables", "iptables"), "nftables")
    if backend == "iptables":
        raise config.wrong(
            "backend",
            f'"nftables" or no such key, since this release lacks the iptables backend, {_LATER}',
            UNSUPPORTED_FIELD,
        )
    # Which bit the iptables backend would set: here no packet is marked (README.md).
    config.integer("markMasqBit", None, 0, 31)
    if config.has("externalSetMarkChain"):
        if config.has("markMasqBit"):
            raise config.wrong("externalSetMarkChain", 'no such key beside "markMasqBit"')
        config.string("externalSetMarkChain")
        raise config.wrong(
            "externalSetMarkChain",
            f"no such key: it names an iptables chain, for the iptables backend, {_LATER}; "
            "without it portmap masquerades by itself what needs it",
            UNSUPPORTED_FIELD,
        )


def _conditions(config: JsonObject, key: str) -> str:
    """The condition's words as one nft expression, which nft itself has yet to understand."""
    from hostnet import nft

    text = " ".join(config.strings(key)).strip()
    first = text.removeprefix("!").lstrip()
    if first.startswith("-"):
        raise config.wrong(
            key,
            f'an nft expression such as ["ip daddr != 192.0.2.0/24"]: this is iptables\' syntax, '
            f"for the iptables backend, {_LATER}",
            UNSUPPORTED_FIELD,
        )
    try:
        return nft.words(text)
    except ValueError as error:
        raise CniError(INVALID_CONFIG, f'key "{config.place(key)}": {error}') from None


def _mapping(item: JsonObject) -> Mapping:
    host, versions = _host(item)
    return Mapping(
        place=item.where,
        host_port=_port(item, "hostPort"),
        container_port=_port(item, "containerPort"),
        protocol=_protocol(item),
        host=host,
        versions=versions,
    )


def _port(item: JsonObject, key: str) -> int:
    port = item.integer(key, None, 1, 65535)
    if port is None:
        raise item.wrong(key, "an integer from 1 to 65535")
    return port


def _protocol(item: JsonObject) -> int:
    """Upper case is what Kubernetes writes, an empty one what others mean TCP by."""
    number = PROTOCOLS.get(item.string("protocol").lower() or "tcp")
    if number is None:
        raise item.wrong("protocol", '"tcp", "udp" or "sctp"')
    return number


def _host(item: JsonObject) -> tuple[Address | None, tuple[int, ...]]:
    text = item.string("hostIP")
    if text in _ANY:
        return None, _ANY[text]
    address = item.address("hostIP")
    if address is None or address.is_unspecified:
        return None, (6,) if address is not None and address.version == 6 else (4,)
    if address.is_multicast:
        raise item.wrong("hostIP", "an address of this host")
    if address.version == 6 and address.is_loopback:
        raise item.wrong("hostIP", "another address: the kernel routes nothing from ::1 elsewhere")
    return address, (address.version,)
