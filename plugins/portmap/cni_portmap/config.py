"""What a `portmap` config says, every key checked before anything is done."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.record import record
from wiring import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Address
    from cni.jsonvalue import JsonObject

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}  # <netinet/in.h>
# IPv4 and IPv6 that a host address stands for where it is "any" of them.
_ANY = {"": (4, 6), "0.0.0.0": (4,), "::": (6,)}  # noqa: S104 (nothing is bound here)
_DEFAULT_BIT = 13  # the reference's
_CHAIN_LONGEST = 28  # XT_EXTENSION_MAXNAMELEN - 1, <linux/netfilter/x_tables.h>


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
    """conditions: by IP version, what packets must match, absent for nothing: an nft expression, or
    the words of iptables where that is the backend.

    backend: of `wiring.backend`, empty where the config leaves it to the host. What only iptables
    uses: mark_bit of packets to be masqueraded, and mark_chain, somebody else's that sets such a
    mark, empty for our own.
    """

    mappings: tuple[Mapping, ...]
    snat: bool
    masq_all: bool
    conditions: dict[int, str]
    backend: str = ""
    mark_bit: int = _DEFAULT_BIT
    mark_chain: str = ""


def read(config: JsonObject) -> Config:
    """Check the config. Raises CniError(INVALID_CONFIG)."""
    mark_chain = _mark_chain(config)
    words = {key: config.strings(key) for key in ("conditionsV4", "conditionsV6")}
    chosen = _backend(config, words, mark_chain)
    runtime = config.object("runtimeConfig")
    return Config(
        mappings=tuple(_mapping(item) for item in runtime.objects("portMappings")),
        snat=config.boolean("snat", default=True),
        masq_all=config.boolean("masqAll"),
        conditions={
            int(key[-1]): text
            for key, given in words.items()
            if (text := _condition(config, key, given, chosen))
        },
        backend=chosen,
        mark_bit=config.integer("markMasqBit", _DEFAULT_BIT, 0, 31),
        mark_chain=mark_chain,
    )


def _mark_chain(config: JsonObject) -> str:
    name = config.string("externalSetMarkChain")
    if name and config.has("markMasqBit"):
        raise config.wrong("externalSetMarkChain", 'no such key beside "markMasqBit"')
    if name and (
        len(name) > _CHAIN_LONGEST or not name.isprintable() or name[0] in "-!" or " " in name
    ):
        raise config.wrong(
            "externalSetMarkChain",
            f"the name of a chain of iptables' table nat, of at most {_CHAIN_LONGEST} characters",
        )
    return name


def _backend(config: JsonObject, words: dict[str, list[str]], mark_chain: str) -> str:
    """The backend that the config asks for, by its name or by what only one of them can do."""
    said = config.choice("backend", (backend.NFTABLES, backend.IPTABLES, ""), "")
    needs = {key: _syntax(given) for key, given in words.items() if "".join(given).strip()}
    if mark_chain:
        needs["externalSetMarkChain"] = backend.IPTABLES
    wanted = said or next(iter(needs.values()), "")
    for key, needed in needs.items():
        if needed != wanted:
            other = next((one for one in needs if needs[one] == wanted), "backend")
            kind = "it names a chain of" if key == "externalSetMarkChain" else "this is a match for"
            raise config.wrong(
                key, f'something for {wanted}, which "{other}" asks for: {kind} {needed}'
            )
    return wanted


def _syntax(words: list[str]) -> str:
    """Whose language it is: iptables' matches are options, nft's never are."""
    first = " ".join(words).strip().removeprefix("!").lstrip()
    return backend.IPTABLES if first.startswith("-") else backend.NFTABLES


def _condition(config: JsonObject, key: str, words: list[str], chosen: str) -> str:
    """The condition in the backend's language, which itself has yet to understand it."""
    if not "".join(words).strip():
        return ""
    if chosen == backend.IPTABLES:
        return _options(config, key, words)
    from hostnet import nft

    try:
        return nft.words(" ".join(words).strip())
    except ValueError as error:
        raise CniError(INVALID_CONFIG, f'key "{config.place(key)}": {error}') from None


def _options(config: JsonObject, key: str, words: list[str]) -> str:
    from hostnet.iptables import quote

    if not all(word.isprintable() for word in words):
        raise config.wrong(key, "iptables' options and their values, without control characters")
    # As in the reference each string is one word, but for those that hold an option and its value.
    found: list[str] = []
    for word in words:
        found += word.split() if word[:1] in ("-", "!") else filter(None, (word,))
    return " ".join(quote(one) if {" ", '"', "\\"} & set(one) else one for one in found)


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
