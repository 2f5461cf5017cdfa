"""The config: every key, its forms, and each wrong value named before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import INVALID_CONFIG, NOT_AVAILABLE, CniError
from cni.jsonvalue import JsonObject
from cni_firewall.config import Config, read
from hostnet import nft
from tests.kit.calls import PluginError, Runtime
from tests.kit.namespace import Namespace

RESULT = {"cniVersion": "1.1.0", "ips": [{"address": "10.1.0.2/24"}]}
CONFIG = {"cniVersion": "1.1.0", "name": "net", "type": "firewall", "prevResult": RESULT}


def parse(**keys: Any) -> Config:
    return read(JsonObject(keys))


def test_an_unknown_backend_may_be_told_instead() -> None:
    told: list[str] = []
    assert read(JsonObject({"backend": "pf"}), unknown=told.append) == Config()
    (problem,) = told
    assert problem.startswith('key "backend": found "pf", expected one of "nftables"')
    with pytest.raises(CniError):
        read(JsonObject({"backend": 1}), unknown=told.append)


def test_defaults() -> None:
    assert parse() == Config("", "CNI-ADMIN", "trusted", "open")
    # What podman sends, and other empty values.
    empty = {"backend": "", "iptablesAdminChainName": "", "firewalldZone": "", "ingressPolicy": ""}
    assert parse(**empty) == parse()
    assert parse(backend=None, ingressPolicy=None) == parse()


def test_each_key() -> None:
    for backend in ("nftables", "iptables", "firewalld"):
        assert parse(backend=backend).backend == backend
    for policy in ("open", "same-bridge", "isolated"):
        assert parse(ingressPolicy=policy).policy == policy
    assert parse(iptablesAdminChainName="MY-own_rules.1").admin_chain == "MY-own_rules.1"
    assert parse(firewalldZone="internal").zone == "internal"
    assert parse(INGRESSPOLICY="isolated", firewalldzone="dmz") == Config(
        zone="dmz", policy="isolated"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backend", 1),
        ("ingressPolicy", "closed"),
        ("ingressPolicy", ["open"]),
        ("ingressPolicy", True),
        ("iptablesAdminChainName", 5),
        ("iptablesAdminChainName", "a b"),
        ("iptablesAdminChainName", "-j"),
        ("iptablesAdminChainName", "1st"),
        ("iptablesAdminChainName", "x" * 29),
        ("iptablesAdminChainName", "chain;drop"),
        ("iptablesAdminChainName", "Kette-ä"),
        ("iptablesAdminChainName", "FORWARD"),
        ("iptablesAdminChainName", "CNI-FORWARD"),
        ("iptablesAdminChainName", "admin"),
        ("firewalldZone", {}),
        ("firewalldZone", "my zone"),
        ("firewalldZone", "x" * 18),
        ("firewalldZone", "../trusted"),
    ],
)
def test_each_wrong_value_is_named(
    key: str, value: Any, runtime: Runtime, container: Namespace
) -> None:
    config = {**CONFIG, key: value}
    with pytest.raises(PluginError, match=f'"{key}": found ') as error:
        runtime.add(config, netns=container)
    assert error.value.code == INVALID_CONFIG
    with pytest.raises(PluginError, match=f'"{key}": found ') as error:
        runtime.call("CHECK", config, netns=container)
    assert error.value.code == INVALID_CONFIG
    with pytest.raises(PluginError, match=f'an ADD would fail: key "{key}": found ') as error:
        runtime.status(config)
    assert error.value.code == NOT_AVAILABLE
    # A DEL and a GC clean up under any config.
    runtime.delete(config)
    runtime.gc(config, [])
    assert nft.run("list ruleset") == ""


def test_a_name_that_only_nft_finds_wrong(runtime: Runtime, container: Namespace) -> None:
    config = {**CONFIG, "backend": "nftables", "iptablesAdminChainName": "drop"}
    with pytest.raises(PluginError, match='"iptablesAdminChainName": found "drop"') as error:
        runtime.add(config, netns=container)
    assert error.value.code == INVALID_CONFIG
    assert nft.run("list ruleset") == ""
