"""Names that the reference gives its rules: what is known of it, and not what our code computes."""

from __future__ import annotations

import pytest

from wiring import xtables


@pytest.mark.parametrize(
    ("network", "container", "prefix", "name"),
    [
        ("test", "1234", "", "CNI-2bbe0c48b91a7d1b8a6753a8"),
        ("testalongnamethatdoesnotmakesense", "1234", "", "CNI-374f33fe84ab0ed84dcdebe3"),
        ("test", "1234", "PREFIX-", "CNI-PREFIX-2bbe0c48b91a7d1b8"),
        ("testalongnamethatdoesnotmakesense", "1234", "PREFIX-", "CNI-PREFIX-374f33fe84ab0ed84"),
    ],
)
def test_a_containers_chain(network: str, container: str, prefix: str, name: str) -> None:
    assert xtables.chain(network, container, prefix) == name


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("unit-test", "6fd94d501e58f0aa"),
        ("alternate", "82783ef24bdc7036"),
        ("eth0:one", "287fc69eff0574a2"),
        ("eth0:two", "d750b2c8f0f25d5f"),
        ("eth0:three", "a4d4adb82b669cfe"),
        ("net1:three", "acb19d111858e348"),
    ],
)
def test_the_digits_in_comments_of_its_nftables_rules(text: str, digits: str) -> None:
    """Of a network, and of an interface with its container."""
    assert xtables.hashed(text, 16) == digits
