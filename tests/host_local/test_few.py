"""A few addresses have no index: to read them all is as fast as to read one."""

from __future__ import annotations

import pytest

from cni_host_local import index
from tests.host_local.network import Network

FEW = index.FEW


@pytest.fixture(autouse=True)
def _as_shipped(monkeypatch: pytest.MonkeyPatch, _always_an_index: None) -> None:
    monkeypatch.setattr(index, "FEW", FEW)


def test_an_index_comes_and_goes_with_the_fifth(network: Network) -> None:
    names = [f"c{n}" for n in range(FEW + 3)]
    told = []
    for held, name in enumerate(names, 1):
        told.append(network.add(name))
        assert network.has_index() == (held > FEW)
        network.check_index(must_be_current=held > FEW)
    assert len(set(told)) == len(names)
    for left, name in reversed([*enumerate(names)]):
        network.check(name)
        network.delete(name)
        assert network.has_index() == (left > FEW)
    assert not network.held


def test_the_same_container_twice_is_found_without_an_index(network: Network) -> None:
    network.add()
    assert "duplicate allocation is not allowed" in network.fails("add").msg
    assert not network.has_index()
