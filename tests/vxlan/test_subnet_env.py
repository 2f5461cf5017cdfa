"""flannel's subnet.env, as flanneld writes it and as it must not be."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from cni.errors import DECODE_FAILURE, IO_FAILURE, TRY_AGAIN_LATER, CniError
from cni_vxlan import subnet_env

FOUR = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n"
SIX = "FLANNEL_IPV6_NETWORK=fd00:1::/48\nFLANNEL_IPV6_SUBNET=fd00:1:0:1::1/64\n"
REST = "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "subnet.env"


def test_both_families(path: Path) -> None:
    """The subnet is written with the host's first address, and is meant without it."""
    path.write_text(FOUR + SIX + REST)
    found = subnet_env.read(str(path))
    assert found == subnet_env.SubnetEnv(
        networks=(ip_network("10.244.0.0/16"), ip_network("fd00:1::/48")),
        subnets=(ip_network("10.244.1.0/24"), ip_network("fd00:1:0:1::/64")),
        mtu=1450,
        masquerades=True,
    )


@pytest.mark.parametrize("family", [FOUR, SIX])
def test_one_family(path: Path, family: str) -> None:
    path.write_text(family + REST.replace("true", "false"))
    found = subnet_env.read(str(path))
    assert len(found.networks) == len(found.subnets) == 1
    assert not found.masquerades


def test_several_networks_and_lines_that_are_not_known(path: Path) -> None:
    text = FOUR.replace("10.244.0.0/16", "10.96.0.0/16,10.244.0.0/16,10.96.0.0/16")
    path.write_text("# by flanneld\n\nFLANNEL_NEW=1\n" + text + REST)
    assert [str(one) for one in subnet_env.read(str(path)).networks] == [
        "10.96.0.0/16",
        "10.244.0.0/16",
    ]


def test_a_file_that_is_not_there_yet(path: Path) -> None:
    with pytest.raises(CniError) as caught:
        subnet_env.read(str(path))
    assert caught.value.code == TRY_AGAIN_LATER
    assert str(path) in caught.value.msg
    assert 'key "peers.subnetFile"' in caught.value.msg
    assert "start flanneld" in caught.value.msg


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(CniError, match="Is a directory") as caught:
        subnet_env.read(str(tmp_path))
    assert caught.value.code == IO_FAILURE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "FLANNEL_NETWORK and FLANNEL_IPV6_NETWORK are missing"),
        ("FLANNEL_NETWORK=10.244.0.0/16\n" + REST, "FLANNEL_SUBNET and FLANNEL_IPV6_SUBNET"),
        (FOUR.replace("10.244.1.1/24", "x") + REST, "FLANNEL_SUBNET=x"),
        (FOUR.replace("10.244.1.1", "10.99.1.1") + REST, "the subnet 10.99.1.0/24"),
        (FOUR.replace("FLANNEL_S", "FLANNEL_IPV6_S") + REST, "an IPv6 subnet"),
        (FOUR + "FLANNEL_MTU=1450\n", "FLANNEL_IPMASQ is missing"),
        (FOUR + "FLANNEL_IPMASQ=true\n", "FLANNEL_MTU="),
        (FOUR + "FLANNEL_IPMASQ=true\nFLANNEL_MTU=-3\n", "FLANNEL_MTU=-3"),
        (FOUR + "FLANNEL_IPMASQ=true\nFLANNEL_MTU=99999999999\n", "FLANNEL_MTU=99999999999"),
    ],
)
def test_files_that_are_wrong(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(CniError) as caught:
        subnet_env.read(str(path))
    assert caught.value.code == DECODE_FAILURE
    assert str(path) in caught.value.msg
    assert words in caught.value.msg
    assert "expected" in caught.value.msg


def test_a_file_that_is_no_text(path: Path) -> None:
    path.write_bytes(b"FLANNEL_NETWORK=\xff\n")
    with pytest.raises(CniError, match="byte 16 is no text"):
        subnet_env.read(str(path))
