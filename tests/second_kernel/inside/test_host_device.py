"""`host-device` with a device that is no virtual one: the kernel brings it back by itself.

Into its first namespace, and so these tests are in that one; `vec0` is the machine's network card.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostnet import altname, link
from hostnet.monitor import RTNLGRP_LINK, Monitor
from hostnet.netlink import Netlink
from tests.kit.calls import Runtime
from tests.kit.namespace import Namespace

CONFIG = {"cniVersion": "1.1.0", "name": "net", "type": "host-device"}


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


@pytest.fixture
def nl() -> Iterator[Netlink]:
    """A socket where `vec0` is, and up."""
    with Netlink() as made:
        link.set_up(made, link.get(made, "vec0").index)
        yield made
        link.set_down(made, link.get(made, "vec0").index)


def wait_back(nl: Netlink, name: str) -> None:
    """Wait until the kernel has brought the device back under this name."""
    with Monitor(RTNLGRP_LINK) as monitor:
        monitor.until(lambda: link.find(nl, name), 10, f"the return of {name}")


def assert_as_it_was(nl: Netlink) -> None:
    found = link.get(nl, "vec0")
    assert (found.name, found.alias, found.altnames, found.up) == ("vec0", "", [], True)


@pytest.mark.parametrize(
    "keys", [{"device": "vec0"}, {"kernelpath": "/sys/devices/platform/uml-vector.0"}]
)
def test_a_namespace_that_is_gone(
    keys: dict[str, Any], runtime: Runtime, nl: Netlink, tmp_path: Path
) -> None:
    container = Namespace(tmp_path / "c")
    config = {**CONFIG, **keys}
    result = runtime.add(config, netns=container)
    runtime.check(config, result, netns=container)
    assert link.find(nl, "vec0") is None
    container.close()
    wait_back(nl, "eth0")
    runtime.delete(config)
    assert_as_it_was(nl)
    assert link.find(nl, "eth0") is None


def test_its_name_is_its_own_record(runtime: Runtime, nl: Netlink, tmp_path: Path) -> None:
    """Not an alternative name, by which a config may mean it, nor that of a config edited since."""
    altname.add(nl, link.get(nl, "vec0").index, "alternative0")
    container = Namespace(tmp_path / "c")
    runtime.add({**CONFIG, "device": "alternative0"}, netns=container)
    container.close()
    wait_back(nl, "eth0")
    runtime.delete({**CONFIG, "device": "zz9"})
    assert link.find(nl, "eth0") is None
    altname.remove(nl, link.get(nl, "vec0").index, "alternative0")
    assert_as_it_was(nl)


def test_a_new_container_takes_what_has_come_back(
    runtime: Runtime, nl: Netlink, tmp_path: Path
) -> None:
    """Before the old one's DEL has come, or without that it ever does."""
    first, second = Namespace(tmp_path / "c1"), Namespace(tmp_path / "c2")
    config = {**CONFIG, "device": "vec0"}
    runtime.add(config, netns=first)
    first.close()
    wait_back(nl, "eth0")
    result = runtime.add(config, container="c2", netns=second)
    runtime.delete(config)
    runtime.check(config, result, container="c2", netns=second)
    runtime.delete(config, container="c2", netns=second)
    runtime.delete(config)
    assert_as_it_was(nl)
    second.close()
