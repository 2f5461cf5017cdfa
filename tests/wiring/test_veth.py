"""The names of veth pairs, and how a pair is found again."""

from __future__ import annotations

from wiring import veth


def test_host_veth_names() -> None:
    names = {veth.host_veth(f"net/c{number}/eth0") for number in range(10000)}
    assert len(names) == 10000
    assert all(len(name) == 15 and name.startswith("veth") for name in names)
    # A release that names them otherwise cannot DEL what this one ADDed.
    assert veth.host_veth("net/c1/eth0") == "vethba363e9935a"
