"""The config: every key, its forms, and each wrong value named before anything is done."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from cni.errors import INVALID_CONFIG, CniError
from cni.jsonvalue import JsonObject
from cni_portmap.config import Config, Mapping, read
from tests.kit.calls import Document, PluginError
from tests.portmap.conftest import Container, World

NO_CLIENT = True


def parse(*mappings: Any, **keys: Any) -> Config:
    return read(JsonObject({"runtimeConfig": {"portMappings": list(mappings)}, **keys}))


def one(**keys: Any) -> Mapping:
    config = parse({"hostPort": 8080, "containerPort": 80, **keys})
    (mapping,) = config.mappings
    return mapping


def test_defaults() -> None:
    assert read(JsonObject({})) == Config((), True, False, {})
    assert one() == Mapping("runtimeConfig.portMappings[0]", 8080, 80, 6, None, (4, 6))


def test_keys_in_any_case_as_containerd_writes_them() -> None:
    config = parse(
        {"HostPort": 18080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""},
        SNAT=False,
        masqall=True,
        CONDITIONSV4=["ip saddr != 192.0.2.1"],
    )
    assert config == Config(
        (Mapping("runtimeConfig.portMappings[0]", 18080, 80, 6, None, (4, 6)),),
        False,
        True,
        {4: "ip saddr != 192.0.2.1"},
        "nftables",  # whose language that is
    )


@pytest.mark.parametrize(
    ("protocol", "number"),
    [("tcp", 6), ("TCP", 6), ("", 6), ("Udp", 17), ("SCTP", 132), (None, 6)],
)
def test_protocols(protocol: str | None, number: int) -> None:
    assert one(protocol=protocol).protocol == number


@pytest.mark.parametrize(
    ("text", "host", "versions"),
    [
        ("", None, (4, 6)),
        (None, None, (4, 6)),
        ("0.0.0.0", None, (4,)),
        ("::", None, (6,)),
        ("0:0:0:0:0:0:0:0", None, (6,)),
        ("::ffff:0.0.0.0", None, (4,)),
        ("192.0.2.1", "192.0.2.1", (4,)),
        ("::ffff:192.0.2.1", "192.0.2.1", (4,)),
        ("2001:DB8::1", "2001:db8::1", (6,)),
        ("127.0.0.1", "127.0.0.1", (4,)),
    ],
)
def test_host_addresses(text: str | None, host: str | None, versions: tuple[int, ...]) -> None:
    mapping = one(hostIP=text)
    assert mapping.host == (None if host is None else ip_address(host))
    assert mapping.versions == versions


@pytest.mark.parametrize(
    ("words", "expression"),
    [
        (["ip", "saddr", "!=", "192.0.2.0/24"], "ip saddr != 192.0.2.0/24"),
        (["ip saddr != 192.0.2.0/24"], "ip saddr != 192.0.2.0/24"),
        (["meta iifname { eth0, eth1 }"], "meta iifname { eth0, eth1 }"),
    ],
)
def test_conditions(words: list[str], expression: str) -> None:
    assert parse(conditionsV4=words, conditionsV6=words).conditions == {
        4: expression,
        6: expression,
    }


@pytest.mark.parametrize("words", [[], [""], [" "], None])
def test_no_conditions(words: list[str] | None) -> None:
    assert parse(conditionsV4=words, conditionsV6=words).conditions == {}


@pytest.mark.parametrize("backend", [None, "", "nftables", "iptables"])
def test_backends(backend: str | None) -> None:
    assert parse(backend=backend, markMasqBit=0) == Config(
        (), True, False, {}, backend=backend or "", mark_bit=0
    )
    assert parse(backend=backend, markMasqBit=31).mark_bit == 31


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["!", "-d", "192.0.2.0/24"], "! -d 192.0.2.0/24"),
        (["! -d 192.0.2.0/24"], "! -d 192.0.2.0/24"),
        (["-m", "comment", "--comment", 'say "hi"', ""], '-m comment --comment "say \\"hi\\""'),
    ],
)
def test_conditions_of_iptables(words: list[str], text: str) -> None:
    for keys in ({}, {"backend": "iptables"}):
        found = parse(conditionsV4=words, conditionsV6=words, **keys)
        assert found.conditions == {4: text, 6: text}
        assert found.backend == "iptables"


def test_a_chain_that_sets_the_mark() -> None:
    found = parse(externalSetMarkChain="KUBE-MARK-MASQ")
    assert (found.backend, found.mark_chain) == ("iptables", "KUBE-MARK-MASQ")
    assert parse(externalSetMarkChain="").backend == ""


def wrong(problem: str, **keys: Any) -> Any:
    return pytest.param(keys, problem, id=f"{next(iter(keys.items()))}"[:60])


def wrong_mapping(problem: str, **keys: Any) -> Any:
    mapping = {"hostPort": 8080, "containerPort": 80, **keys}
    return wrong(
        problem, runtimeConfig={"portMappings": [{"hostPort": 1, "containerPort": 1}, mapping]}
    )


PLACE = '"runtimeConfig.portMappings[1]'
WRONG = [
    wrong('"snat": found "true", expected true or false', snat="true"),
    wrong('"snat": found 1, expected true or false', snat=1),
    wrong('"masqAll": found [], expected true or false', masqAll=[]),
    wrong('"markMasqBit": found 32, expected an integer from 0 to 31', markMasqBit=32),
    wrong('"markMasqBit": found -1', markMasqBit=-1),
    wrong('"markMasqBit": found "13"', markMasqBit="13"),
    wrong('"markMasqBit": found true', markMasqBit=True),
    wrong('"backend": found "ipvs", expected one of "nftables", "iptables"', backend="ipvs"),
    wrong('"backend": found 1', backend=1),
    wrong('"externalSetMarkChain": found "X"', externalSetMarkChain="X", markMasqBit=13),
    wrong('"externalSetMarkChain": found 5, expected a string', externalSetMarkChain=5),
    wrong(
        '"conditionsV4": found "ip saddr 1.2.3.4", expected a list', conditionsV4="ip saddr 1.2.3.4"
    ),
    wrong('"conditionsV6[1]": found 5, expected a string', conditionsV6=["ip6 saddr", 5]),
    wrong(
        "\"conditionsV4\": 'accept ; flush ruleset' holds",
        conditionsV4=["accept", ";", "flush ruleset"],
    ),
    wrong("\"conditionsV4\": 'a\\nb' holds", conditionsV4=["a\nb"]),
    wrong('"runtimeConfig": found [], expected an object', runtimeConfig=[]),
    wrong(
        '"runtimeConfig.portMappings": found {}, expected a list',
        runtimeConfig={"portMappings": {}},
    ),
    wrong('"runtimeConfig.portMappings[0]": found 80', runtimeConfig={"portMappings": [80]}),
    wrong('"runtimeConfig.portMappings[0]": found null', runtimeConfig={"portMappings": [None]}),
    wrong_mapping(f'{PLACE}.hostPort": found 0, expected an integer from 1 to 65535', hostPort=0),
    wrong_mapping(f'{PLACE}.hostPort": found -1', hostPort=-1),
    wrong_mapping(f'{PLACE}.hostPort": found 65536', hostPort=65536),
    wrong_mapping(f'{PLACE}.hostPort": found "80"', hostPort="80"),
    wrong_mapping(f'{PLACE}.hostPort": found 80.5', hostPort=80.5),
    wrong_mapping(f'{PLACE}.hostPort": it is missing', hostPort=None),
    wrong_mapping(f'{PLACE}.containerPort": found 0', containerPort=0),
    wrong_mapping(f'{PLACE}.containerPort": found 4294967376', containerPort=2**32 + 80),
    wrong_mapping(f'{PLACE}.containerPort": it is missing', containerPort=None),
    wrong_mapping(
        f'{PLACE}.protocol": found "icmp", expected "tcp", "udp" or "sctp"', protocol="icmp"
    ),
    wrong_mapping(f'{PLACE}.protocol": found 6, expected a string', protocol=6),
    wrong_mapping(
        f'{PLACE}.hostIP": found "localhost", expected an IP address', hostIP="localhost"
    ),
    wrong_mapping(f'{PLACE}.hostIP": found "192.0.2.1/24"', hostIP="192.0.2.1/24"),
    wrong_mapping(f'{PLACE}.hostIP": found "fe80::1%eth0"', hostIP="fe80::1%eth0"),
    wrong_mapping(f'{PLACE}.hostIP": found 5', hostIP=5),
    wrong_mapping(f'{PLACE}.hostIP": found "224.0.0.1", expected an address', hostIP="224.0.0.1"),
    wrong_mapping(f'{PLACE}.hostIP": found "::1"', hostIP="::1"),
]
FOR_NFTABLES = "expected something for nftables, which"
FOR_IPTABLES = "expected something for iptables, which"
MIXED = [
    wrong(
        f'"externalSetMarkChain": found "X", {FOR_NFTABLES} "backend" asks for',
        externalSetMarkChain="X",
        backend="nftables",
    ),
    wrong(
        f'"conditionsV4": found ["-d","192.0.2.0/24"], {FOR_NFTABLES} "backend" asks for',
        conditionsV4=["-d", "192.0.2.0/24"],
        backend="nftables",
    ),
    wrong(
        f'"conditionsV6": found ["ip6 daddr fd00::1"], {FOR_IPTABLES} "backend" asks for',
        conditionsV6=["ip6 daddr fd00::1"],
        backend="iptables",
    ),
    wrong(
        f'"conditionsV6": found ["! -d fc00::/7"], {FOR_NFTABLES} "conditionsV4" asks for',
        conditionsV4=["ip daddr 192.0.2.1"],
        conditionsV6=["! -d fc00::/7"],
    ),
    wrong(
        f'"externalSetMarkChain": found "X", {FOR_NFTABLES} "conditionsV4" asks for',
        externalSetMarkChain="X",
        conditionsV4=["ip daddr 192.0.2.1"],
    ),
    wrong("expected iptables' options", conditionsV4=["-d", "192.0.2.0/24\n-A X"]),
    wrong("expected the name of a chain", externalSetMarkChain="-j"),
    wrong("expected the name of a chain", externalSetMarkChain="a b"),
    wrong("expected the name of a chain", externalSetMarkChain="x" * 29),
]


@pytest.mark.parametrize(("keys", "problem"), WRONG)
def test_a_wrong_value_is_named(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(CniError) as error:
        parse(**keys)
    assert problem in error.value.msg
    assert error.value.code == INVALID_CONFIG


@pytest.mark.parametrize(("keys", "problem"), MIXED)
def test_what_the_other_backend_can_do(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(CniError) as error:
        parse(**keys)
    assert problem in error.value.msg
    assert error.value.code == INVALID_CONFIG


def test_through_the_door_nothing_is_done_and_del_goes_by(world: World, one: Container) -> None:
    from hostnet import nft

    for parameters in (*WRONG, *MIXED):
        keys: Document = parameters.values[0]
        with pytest.raises(PluginError) as error:
            one.add(8080, **keys)
        assert error.value.document["cniVersion"] == "1.1.0"
        # Whatever became of the config, its ports go.
        one.delete(**keys)
    assert nft.run("list ruleset") == ""
