"""CHECK: passes after ADD, and names each single thing that is missing."""

from __future__ import annotations

import shutil

import pytest

from cni.errors import CHECK_FAILED, INVALID_CONFIG
from tests.host_local.network import V4, V6, Network
from tests.kit.versions import versions_since


@pytest.mark.parametrize("version", versions_since("0.4.0"))
def test_after_add(network: Network, version: str) -> None:
    network.version = version
    network.ranges([V4], [V6])
    result = network.result()
    network.check(result=result)
    network.check()
    assert "Failed to find address added by container c2" in network.fails("check", "c2").msg


def test_one_reservation_is_missing(network: Network) -> None:
    network.ranges([V4], [V6])
    result = network.result()
    (network.directory / "2001:db8:1::2").unlink()
    error = network.fails("check", result=result)
    assert error.code == CHECK_FAILED
    assert f"{network.directory}/2001:db8:1::2 is missing" in error.msg
    assert "10.1.2.2" not in error.msg
    network.check()  # without a result one is enough, as for the reference


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("c2\r\neth0", "10.1.2.2 is reserved for c2 eth0"),
        ("c1\r\neth1", "10.1.2.2 is reserved for c1 eth1"),
        ("c2", "10.1.2.2 is reserved for c2"),
        ("", "10.1.2.2 is empty"),
    ],
)
def test_a_reservation_is_not_its_own(network: Network, content: str, says: str) -> None:
    result = network.result()
    network.write("10.1.2.2", content)
    error = network.fails("check", result=result)
    assert error.code == CHECK_FAILED
    assert says in error.msg


def test_the_older_format_passes(network: Network) -> None:
    result = network.result()
    network.write("10.1.2.2", "c1")
    network.check(result=result)
    network.check()


def test_addresses_of_others_in_the_result(network: Network) -> None:
    result = network.result()
    result["ips"].append({"address": "192.0.2.9/24"})
    network.check(result=result)
    (network.directory / "10.1.2.2").unlink()
    assert network.fails("check", result=result).code == CHECK_FAILED


def test_without_any_of_the_results_addresses_one_must_be_held(network: Network) -> None:
    other = {"cniVersion": "1.1.0", "ips": [{"address": "192.0.2.9/24"}]}
    assert network.fails("check", result=other).code == CHECK_FAILED
    network.add()
    network.check(result=other)


def test_the_directory_is_missing(network: Network) -> None:
    result = network.result()
    shutil.rmtree(network.directory)
    error = network.fails("check", result=result)
    assert error.code == CHECK_FAILED
    assert f"{network.directory} is missing" in error.msg


def test_a_wrong_config(network: Network) -> None:
    result = network.result()
    network.ipam["ranges"] = 5
    assert network.fails("check", result=result).code == INVALID_CONFIG
