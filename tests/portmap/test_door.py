"""Through the door, in every version of the specification."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import INCOMPATIBLE_VERSION, INVALID_CONFIG
from tests.kit.calls import PluginError
from tests.kit.traffic import EchoServer, ask
from tests.kit.versions import each_version, versions_since
from tests.portmap.conftest import UPLINK, Container, World, elements


def previous(version: str, one: Container) -> dict[str, Any]:
    """The previous result as a plugin of that version writes it."""
    if version not in versions_since("0.3.0"):
        return {
            "cniVersion": version,
            "ip4": {"ip": one.four, "gateway": "10.1.0.1"},
            "ip6": {"ip": one.six},
            "dns": {"nameservers": ["10.1.0.1"]},
        }
    ips: list[dict[str, Any]] = [
        {"interface": 1, "address": one.four, "gateway": "10.1.0.1"},
        {"interface": 1, "address": one.six},
    ]
    if version not in versions_since("1.0.0"):
        ips[0]["version"], ips[1]["version"] = "4", "6"
    return {
        "cniVersion": version,
        "interfaces": [
            {"name": "br0", "mac": "0a:00:00:00:00:01"},
            {"name": "eth0", "sandbox": "/x"},
        ],
        "ips": ips,
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}],
        "dns": {"nameservers": ["10.1.0.1"]},
    }


@each_version
def test_the_previous_result_is_handed_on(version: str, world: World, one: Container) -> None:
    result = previous(version, one)
    config = one.config(8080, cniVersion=version, prevResult=result)
    assert one.runtime.add(config, container="c1", netns=one.ns) == result
    with EchoServer(one.ns, one.ips[0], 80), EchoServer(one.ns, one.ips[1], 80):
        for address in UPLINK:
            assert ask(world.client, address, 8080).payload == "hello"
    if version in versions_since("0.4.0"):
        one.check(config)
    else:
        with pytest.raises(PluginError) as error:
            one.check(config)
        assert error.value.code == INCOMPATIBLE_VERSION
    # With all of it, as a runtime sends it; the namespace may be gone.
    one.runtime.delete(config, container="c1", netns="")
    assert elements() == ""
    # And with nothing of it.
    one.delete(cniVersion=version)


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_without_an_address_nothing_is_published(
    backend: str, one: Container, capfd: pytest.CaptureFixture[str]
) -> None:
    """A layer-2 network of a runtime that sends the ports to all networks."""
    bare = {**one.result(), "ips": []}
    config = one.config(8080, prevResult=bare, backend=backend)
    assert one.runtime.add(config, container="c1", netns=one.ns)["interfaces"] == bare["interfaces"]
    assert capfd.readouterr().err == (
        'portmap on network "net": key "runtimeConfig.portMappings[0]": host port 8080 is not '
        "published: the container's interface has no address in prevResult\n"
    )
    one.check(config)
    assert capfd.readouterr().err == ""
    one.delete()
    # And the address that a single hostIP could lead to.
    single = {"hostPort": 81, "containerPort": 80, "protocol": "tcp", "hostIP": "10.2.0.1"}
    one.check(one.add(single, prevResult=one.result(one.six), backend=backend))
    assert "the container has no IPv4 address" in capfd.readouterr().err
    one.delete()


def test_it_must_be_in_a_chain(one: Container) -> None:
    config, without_mappings = one.config(8080), one.config()
    del config["prevResult"]
    del without_mappings["prevResult"]
    for each in (config, without_mappings):
        with pytest.raises(PluginError, match='"prevResult": it is missing; portmap must') as error:
            one.runtime.add(each, container="c1", netns=one.ns)
        assert error.value.code == INVALID_CONFIG


def test_del_of_what_never_was(world: World, one: Container) -> None:
    one.delete()
    one.add(8080)
    one.delete("other")
    one.runtime.delete(one.config(), container="c1", ifname="eth1")
    one.runtime.delete(one.config(), container="c10")
    one.check(one.config(8080))
    one.delete()
    assert elements() == ""
