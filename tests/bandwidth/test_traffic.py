"""What a container really sends and receives in a second."""

from __future__ import annotations

import pytest

from tests.bandwidth.conftest import MBIT, Limited
from tests.kit.calls import Document
from tests.kit.probe import transfer

LIMIT = 20
"""Mbit/s. A megabyte takes 0.4 s, and a machine that is busy is still much faster."""
FREE = 3 * LIMIT


def measured(limited: Limited, *, towards_container: bool, megabytes: int = 1) -> float:
    """Mbit/s."""
    if towards_container:
        return transfer(limited.host, limited.ns, limited.ip, megabytes)
    return transfer(limited.ns, limited.host, limited.gateway, megabytes)


def is_limited(rate: float, megabytes: int = 1, burst: int = 100_000) -> bool:
    """A machine that is busy is slower, but nothing makes it faster than rate and burst."""
    seconds = megabytes * 8.39 / rate
    allowed = (LIMIT * MBIT / 8 * seconds + burst) / seconds * 8 / MBIT
    return LIMIT * 0.2 < rate < allowed * 1.05


@pytest.mark.parametrize("burst", [800_000, 4294967295])
def test_both_directions(burst: int, limited: Limited) -> None:
    keys = {f"{one}Rate": LIMIT * MBIT for one in ("ingress", "egress")}
    bursts = {f"{one}Burst": burst for one in ("ingress", "egress")}
    asked = limited.config(runtimeConfig={"bandwidth": {**keys, **bursts}})
    assert measured(limited, towards_container=True) > FREE
    assert measured(limited, towards_container=False) > FREE
    limited.add(asked)
    # A tenth of a second's worth is the default burst.
    allowed = 100_000 if burst == 800_000 else LIMIT * MBIT // 80
    for towards in (True, False):
        rate = measured(limited, towards_container=towards)
        assert is_limited(rate, burst=allowed), rate
    limited.delete(asked)
    assert measured(limited, towards_container=True) > FREE
    assert measured(limited, towards_container=False) > FREE


@pytest.mark.parametrize("key", ["unshapedSubnets", "shapedSubnets"])
def test_subnets_of_the_other_side(key: str, limited: Limited) -> None:
    """The host is 10.0.0.1 to the container, and 10.9.0.1 as well."""
    host, ns = limited.host, limited.ns
    host.command("ip", "address", "add", "10.9.0.1/32", "dev", "lo")
    ns.command("ip", "route", "add", "10.9.0.1", "via", limited.gateway)
    rates: Document = {
        f"{one}{what}": value * MBIT
        for one in ("ingress", "egress")
        for what, value in (("Rate", LIMIT), ("Burst", 0.8))
    }
    asked = limited.config(
        **{name: int(value) for name, value in rates.items()}, **{key: ["10.9.0.0/16"]}
    )
    asked["prevResult"] = limited.add(asked)
    shaped_is_far = key == "shapedSubnets"
    for is_far in (False, True):
        address = "10.9.0.1" if is_far else limited.gateway
        host.command("ip", "route", "replace", "10.0.0.0/24", "dev", "port0", "src", address)
        received = measured(limited, towards_container=True)
        sent = transfer(ns, host, address, 1)
        for rate in (received, sent):
            if is_far == shaped_is_far:
                assert is_limited(rate), (rate, is_far)
            else:
                assert rate > FREE, (rate, is_far)
    limited.check(asked)
    limited.delete(asked)
    host.command("ip", "address", "delete", "10.9.0.1/32", "dev", "lo")


def test_ipv6(limited: Limited) -> None:
    host, ns = limited.host, limited.ns
    for where, dev, one in ((host, "port0", 1), (ns, "eth0", 2)):
        for net in ("fd00:9::", "fd00:8::"):
            where.command("ip", "address", "add", f"{net}{one}/64", "dev", dev, "nodad")
    for where, dev in ((host, "port0"), (ns, "eth0")):
        where.wait_ready(dev)
    rates = {"egressRate": LIMIT * MBIT, "egressBurst": 800_000}
    asked = limited.config(**rates, unshapedSubnets=["fd00:9::/64"])
    limited.add(asked)
    assert transfer(ns, host, "fd00:9::1", 1) > FREE
    assert is_limited(transfer(ns, host, "fd00:8::1", 1))
    limited.delete(asked)
