"""CHECK after ADD passes; each single deviation fails it, and is named."""

from __future__ import annotations

import pytest

from cni.errors import CHECK_FAILED
from hostnet import nft
from tests.firewall.conftest import TABLE, World, elements
from tests.kit.calls import PluginError

NO_CLIENT = True


@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_what_add_leaves_passes(policy: str, world: World) -> None:
    one, two = world.on("br0"), world.on("br1")
    config, other = one.add(policy), two.add(policy)
    one.check(config)
    two.check(other)
    two.delete()
    one.check(config)
    one.delete()
    with pytest.raises(PluginError, match=r"no record says that 10\.1\.0\.2 is") as error:
        one.check(config)
    assert error.value.code == CHECK_FAILED
    assert elements() == ""


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("delete element inet {t} containers4 {{ 10.1.0.2 }}", "10.1.0.2 is not in containers4"),
        ("delete element inet {t} containers6 {{ fd00:1::2 }}", "fd00:1::2 is not in containers6"),
        ('delete element inet {t} bridges {{ "br0" }}', "br0 is not in bridges"),
        ('delete element inet {t} own {{ "br0" . "br0" }}', "br0 . br0 is not in own"),
        ('delete element inet {t} apart {{ "br0" . "br0" }}', "br0 . br0 is not in apart"),
        (
            'delete element bridge {t} ports {{ "port2" }}',
            "port2 is not in ports of the nftables table bridge",
        ),
        ("flush map inet {t} owners", "no record says that 10.1.0.2 is kept apart on br0"),
        ("flush chain inet {t} forward", "chain forward of the nftables table inet"),
        ("flush chain inet {t} through", "chain through"),
        ("flush chain inet {t} unmark", "chain unmark"),
        ("flush chain inet {t} admin", "lacks `jump CNI-ADMIN`"),
        ("flush chain bridge {t} forward", "chain forward of the nftables table bridge"),
        ("insert rule inet {t} forward accept", "rules of somebody else"),
        ("add table inet {t} {{ flags dormant; }}", "table inet pycni_firewall is dormant"),
        ("add table bridge {t} {{ flags dormant; }}", "table bridge pycni_firewall is dormant"),
        ("delete table inet {t}", "the nftables table inet pycni_firewall is missing"),
        ("delete table bridge {t}", "the nftables table bridge pycni_firewall is missing"),
        ("flush ruleset", "is missing"),
    ],
)
def test_each_deviation_fails_and_add_restores(command: str, problem: str, world: World) -> None:
    one = world.on("br0")
    config = one.add("isolated")
    nft.run(command.format(t=TABLE))
    with pytest.raises(PluginError) as error:
        one.check(config)
    assert error.value.code == CHECK_FAILED
    assert problem in error.value.msg
    if "insert rule" not in command and "dormant" not in command:
        one.add("isolated")
        one.check(config)
    one.delete()


def test_another_policy_or_address(world: World) -> None:
    one = world.on("br0")
    config = one.add("same-bridge")
    with pytest.raises(PluginError, match=r"10\.1\.0\.2 is let through on br0 and should not be"):
        one.check({**config, "ingressPolicy": "isolated"})
    with pytest.raises(PluginError, match=r"no record says that 10\.1\.0\.2 is let through;"):
        one.check({**config, "ingressPolicy": "open"})
    result = one.result()
    result["ips"][0]["address"] = "10.1.0.77/24"
    with pytest.raises(PluginError, match=r"no record says that 10\.1\.0\.77 is") as error:
        one.check({**config, "prevResult": result})
    assert error.value.code == CHECK_FAILED
    one.delete()
    # Where nothing is wanted, nothing may be.
    nothing = {"cniVersion": "1.1.0", "interfaces": result["interfaces"]}
    one.check({**config, "ingressPolicy": "open", "prevResult": nothing})
    one.add()
    with pytest.raises(PluginError, match=r"10\.1\.0\.2 is let through and should not be"):
        one.check({**config, "ingressPolicy": "open", "prevResult": nothing})
    one.delete()
