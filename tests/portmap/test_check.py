"""CHECK after ADD passes; each single deviation fails it, and is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, INVALID_CONFIG
from hostnet import nft
from hostnet.nfowner import Owner
from tests.kit.calls import PluginError
from tests.portmap.conftest import TABLE, Container, World, elements

NO_CLIENT = True
MAPPINGS: list[dict[str, Any]] = [
    {"hostPort": 8080, "containerPort": 80},
    {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "10.2.0.1"},
    {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "fd00:2::1"},
]
CONDITIONS = {"conditionsV4": ["ip saddr != 192.0.2.1"], "conditionsV6": ["ip6 saddr != fd00::9"]}
ELSEWHERE = """\
delete element inet {t} any4 {{ tcp . 8080 }}
add element inet {t} any4 {{ tcp . 8080 : 10.1.0.99 . 80 }}
"""
GATE = f"gate4-{Owner('net/c1/eth0').member}"


@pytest.mark.parametrize("keys", [{}, {"snat": False}, {"masqAll": True}, CONDITIONS], ids=str)
def test_what_add_leaves_passes(keys: dict[str, Any], one: Container, two: Container) -> None:
    config = one.add(*MAPPINGS, **keys)
    other = two.add({"hostPort": 8081, "containerPort": 80})
    one.check(config)
    two.check(other)
    one.check({**config, "prevResult": {**config["prevResult"], "dns": {"domain": "x"}}})
    two.delete()
    one.check(config)
    one.delete()
    with pytest.raises(PluginError, match="is not published") as error:
        one.check(config)
    assert error.value.code == CHECK_FAILED
    assert elements() == ""


def test_without_mappings_it_passes_and_looks_at_nothing(one: Container) -> None:
    one.check(one.add())
    assert nft.run("list ruleset") == ""


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("delete element inet {t} any4 {{ tcp . 8080 }}", "0.0.0.0:8080/tcp is not in any4"),
        ("delete element inet {t} any6 {{ tcp . 8080 }}", "[::]:8080/tcp is not in any6"),
        ("delete element inet {t} addr4 {{ 10.2.0.1 . udp . 53 }}", "10.2.0.1:53/udp is not in"),
        ("delete element inet {t} addr6 {{ fd00:2::1 . udp . 53 }}", "[fd00:2::1]:53/udp is not"),
        ('delete element inet {t} near4 {{ "br0" . 10.1.0.2 . tcp . 80 }}', "is not in near4"),
        ('delete element inet {t} near6 {{ "br0" . fd00:1::2 . tcp . 80 }}', "is not in near6"),
        ("delete element inet {t} self4 {{ 10.1.0.2 . 10.1.0.2 . tcp . 80 }}", "not in self4"),
        ("flush set inet {t} split", "10.2.0.1:53/udp is not in split"),
        ("flush map inet {t} owners", "port 0.0.0.0:8080/tcp is not published"),
        ("flush chain inet {t} guard", "chain guard"),
        ("flush chain inet {t} prerouting", "chain prerouting"),
        ("flush chain inet {t} output", "chain output"),
        ("flush chain inet {t} postrouting", "chain postrouting"),
        ("insert rule inet {t} prerouting tcp dport 8080 accept", "rules of somebody else"),
        ("add table inet {t} {{ flags dormant; }}", "is dormant"),
        ("delete table inet {t}", "the nftables table inet pycni_portmap is missing"),
        ("flush chain inet {t} {g}", "lacks the conditionsV4"),
        ("insert rule inet {t} {g} accept", "lacks the conditionsV4"),
        ("flush map inet {t} gates", "is not in gates of"),
        ("flush map inet {t} gates4", "is not in gates4 of"),
        (
            ELSEWHERE,
            "0.0.0.0:8080/tcp leads to 10.1.0.99:80 in any4",
        ),
    ],
)
def test_each_deviation_is_named(command: str, problem: str, one: Container) -> None:
    config = one.add(*MAPPINGS, **CONDITIONS)
    one.check(config)
    nft.run(command.format(t=TABLE, g=GATE))
    with pytest.raises(PluginError) as error:
        one.check(config)
    assert error.value.code == CHECK_FAILED
    assert problem in error.value.msg
    # An ADD mends it, whatever it was; then a DEL finds all of it.
    if "dormant" not in command:
        one.add(*MAPPINGS, **CONDITIONS)
        one.check(config)
        one.delete()
        assert elements() == ""
    nft.run(f"add table inet {TABLE}\ndelete table inet {TABLE}")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"runtimeConfig": {"portMappings": MAPPINGS[1:]}}, "0.0.0.0:8080/tcp is published and"),
        (
            {"runtimeConfig": {"portMappings": [*MAPPINGS, {"hostPort": 1, "containerPort": 1}]}},
            "0.0.0.0:1/tcp is not published",
        ),
        (
            {"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 81}]}},
            "0.0.0.0:8080/tcp is not published to 10.1.0.2 port 81, but to 10.1.0.2 port 80",
        ),
        ({"masqAll": True}, 'with the "snat", "masqAll" and "conditions" of the config'),
        ({"snat": False}, 'with the "snat", "masqAll" and "conditions" of the config'),
        (CONDITIONS, "gate4-"),
        ({"runtimeConfig": {}}, "is published and should not be"),
    ],
    ids=str,
)
def test_another_config_than_that_of_the_add(
    keys: dict[str, Any], problem: str, one: Container
) -> None:
    config = one.add(*MAPPINGS)
    with pytest.raises(PluginError) as error:
        one.check({**config, **keys})
    assert problem in error.value.msg
    one.delete()


def test_another_address_than_that_of_the_add(one: Container) -> None:
    config = one.add(MAPPINGS[0])
    with pytest.raises(
        PluginError, match=r"not published to 10\.1\.0\.9 port 80, but to 10\.1\.0\.2"
    ):
        one.check({**config, "prevResult": one.result("10.1.0.9/24", one.six)})
    one.delete()


def test_a_link_that_was_renamed(world: World, one: Container) -> None:
    config = one.add(MAPPINGS[0])
    world.host.command("ip", "link", "set", "br0", "name", "br1")
    with pytest.raises(PluginError, match="is not published through br1, but through br0"):
        one.check(config)
    one.add(MAPPINGS[0])
    one.check(config)
    world.host.command("ip", "link", "set", "br1", "name", "br0")
    one.delete()


def test_localhost_not_routed(one: Container) -> None:
    config = one.add(MAPPINGS[0])
    Path("/proc/sys/net/ipv4/conf/br0/route_localnet").write_text("0")
    with pytest.raises(PluginError, match="net/ipv4/conf/br0/route_localnet is 0, expected 1"):
        one.check(config)
    one.add(MAPPINGS[0])
    one.check(config)
    one.delete()


def test_it_needs_the_previous_result(one: Container) -> None:
    config = one.add(MAPPINGS[0])
    with pytest.raises(PluginError, match='"prevResult": it is missing') as error:
        one.check({key: value for key, value in config.items() if key != "prevResult"})
    assert error.value.code == INVALID_CONFIG
    one.delete()
