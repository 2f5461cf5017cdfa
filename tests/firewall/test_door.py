"""Through the door, in every version of the specification; DEL whatever became of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import INCOMPATIBLE_VERSION, INVALID_CONFIG
from tests.firewall.conftest import Guarded, World, elements
from tests.kit.calls import PluginError
from tests.kit.versions import each_version, versions_since

NO_CLIENT = True


def previous(version: str, one: Guarded) -> dict[str, Any]:
    """The previous result as a plugin of that version writes it."""
    four, six = one.addresses
    if version not in versions_since("0.3.0"):
        return {"cniVersion": version, "ip4": {"ip": four}, "ip6": {"ip": six}}
    ips: list[dict[str, Any]] = [
        {"interface": 2, "address": four},
        {"interface": 2, "address": six},
    ]
    if version not in versions_since("1.0.0"):
        ips[0]["version"], ips[1]["version"] = "4", "6"
    return {**one.result(), "cniVersion": version, "ips": ips}


@each_version
def test_the_previous_result_is_handed_on(version: str, world: World) -> None:
    one = world.on("br0")
    result = previous(version, one)
    config = one.config("same-bridge", cniVersion=version, prevResult=result)
    if "interfaces" not in result:
        with pytest.raises(PluginError, match="bridge of the host as the first interface") as error:
            one.runtime.add(config, container="c1", netns=one.ns)
        assert error.value.code == INVALID_CONFIG
        del config["ingressPolicy"]
    given = one.runtime.add(config, container="c1", netns=one.ns)
    given.pop("dns", None)
    assert given == result
    assert one.ips[0] in elements()
    assert one.ips[1] in elements()
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


def test_it_must_be_in_a_chain(world: World) -> None:
    one = world.on("br0")
    config = one.config()
    del config["prevResult"]
    for verb in ("ADD", "CHECK"):
        with pytest.raises(PluginError, match='"prevResult": it is missing; firewall') as error:
            one.runtime.call(verb, config, container="c1", netns=one.ns)
        assert error.value.code == INVALID_CONFIG


def test_del_of_what_never_was(world: World) -> None:
    one = world.on("br0")
    one.delete()
    config = one.add("isolated")
    one.runtime.delete({**config, "name": "other"}, container="c1")
    one.runtime.delete(config, container="c1", ifname="eth1")
    one.runtime.delete(config, container="c10")
    one.check(config)
    one.delete(prevResult={"cniVersion": "1.1.0", "ips": "broken"})
    assert elements() == ""
    one.delete()


def test_it_enters_no_namespace_and_needs_none(world: World) -> None:
    one = world.on("br0")
    config = one.config("isolated")
    one.runtime.add(config, container="c1", netns="/run/nowhere")
    one.runtime.check(config, config["prevResult"], container="c1", netns="/dev/null")
    one.delete()


def test_an_unknown_backend_is_told_and_the_default_taken(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """As in the reference, whose users may have the typo for years."""
    one = world.on("br0")
    config = one.add("isolated", backend="nftable")
    said = capfd.readouterr().err
    assert said.startswith('firewall on network "net-br0": key "backend": found "nftable", expec')
    assert said.endswith("; the default is taken\n")
    one.check(config)
    one.runtime.status(config)
    one.delete(backend="nftable")
    assert capfd.readouterr().err == ""
    with pytest.raises(PluginError, match='key "backend"'):
        one.add(backend=7)


def test_two_attachments_of_one_address(world: World) -> None:
    # A container that a crashed host left behind may hold the address of one that lives.
    one, two = world.on("br0"), world.on("br0")
    one.add()
    config = two.add("same-bridge", prevResult=one.result())
    one.delete()
    two.check(config)
    assert one.ips[0] in elements()
    two.delete()
    assert elements() == ""


def test_the_same_add_again(world: World) -> None:
    one = world.on("br0")
    config = one.add("isolated")
    before = elements()
    one.check(one.add("isolated"))
    assert elements() == before
    one.check(config)
    one.delete()
