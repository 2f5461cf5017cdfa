"""What the bundle's store holds, where that is not what the standard library says."""

from __future__ import annotations

import ipaddress
import itertools
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import lean
import pytest

from cni_bundle import few_functools
from cni_bundle.boot import STORE, StoredModules

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = str(Path(ipaddress.__file__))
ADDRESSES = ["10.1.0.1", "192.0.2.7", "224.0.0.1", "127.0.0.1", "::1", "2001:db8::7", "ff02::1"]
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "2001:db8::/32", "fd00::/64"]
ASKED = ["is_private", "is_global", "is_multicast", "is_loopback", "is_link_local"]


@pytest.fixture
def bundled(tmp_path: Path) -> ModuleType:
    """`ipaddress` as the bundle has it."""
    lean.write_store([("ipaddress", SOURCE, "PYMODULE")], [], ["ipaddress"], tmp_path / STORE)
    module = ModuleType("ipaddress")
    exec(StoredModules(str(tmp_path)).get_code("ipaddress"), vars(module))
    return module


def test_ipaddress_does_without_functools(bundled: ModuleType) -> None:
    assert bundled.functools is few_functools


@pytest.mark.parametrize(
    ("make", "texts"),
    [
        ("ip_address", ADDRESSES),
        ("ip_network", NETWORKS),
        ("ip_interface", [*NETWORKS, "10.1.0.9/16", "10.1.0.9/24", "2001:db8::9/64"]),
    ],
)
def test_ipaddress_compares_as_ever(bundled: ModuleType, make: str, texts: list[str]) -> None:
    comparisons: list[Callable[[object, object], object]] = [
        lambda a, b: a < b,  # type: ignore[operator]
        lambda a, b: a > b,  # type: ignore[operator]
        lambda a, b: a <= b,  # type: ignore[operator]
        lambda a, b: a >= b,  # type: ignore[operator]
    ]
    for one, other in itertools.product(texts, repeat=2):
        for compare in comparisons:
            outcomes = []
            for module in (ipaddress, bundled):
                made = getattr(module, make)
                try:
                    outcomes.append(str(compare(made(one), made(other))))
                except TypeError as error:
                    outcomes.append(str(error))
            assert outcomes[0] == outcomes[1], (one, other)
    in_order = [str(one) for one in sorted(map(ipaddress.ip_interface, texts[:3]))]
    assert [str(one) for one in sorted(map(bundled.ip_interface, texts[:3]))] == in_order


def test_ipaddress_knows_as_much_as_ever(bundled: ModuleType) -> None:
    for text, asked in itertools.product(ADDRESSES, ASKED):
        there, here = ipaddress.ip_address(text), bundled.ip_address(text)
        assert getattr(here, asked) == getattr(there, asked), (text, asked)
    for text, asked in itertools.product(NETWORKS, [*ASKED, "hostmask", "broadcast_address"]):
        net = bundled.ip_network(text)
        assert str(getattr(net, asked)) == str(getattr(ipaddress.ip_network(text), asked))
        assert getattr(net, asked) is getattr(net, asked)


def test_ipaddress_makes_its_constants_when_asked(bundled: ModuleType) -> None:
    constants = vars(bundled._IPv4Constants)
    assert isinstance(constants["_loopback_network"], few_functools.later)
    assert bundled.ip_address("127.0.0.1").is_loopback
    assert str(constants["_loopback_network"]) == "127.0.0.0/8"
    assert isinstance(constants["_private_networks"], few_functools.later)


def test_a_source_that_has_changed_is_told(tmp_path: Path) -> None:
    changed = tmp_path / "ipaddress.py"
    changed.write_text("from functools import total_ordering\n")
    with pytest.raises(LookupError, match=r"ipaddress\.py does not say once: import functools"):
        lean.write_store([("ipaddress", str(changed), "PYMODULE")], [], [], tmp_path / STORE)
