"""A lock that is never given back: ADD and DEL end with error 11, and ADD has left nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cni.errors import TRY_AGAIN_LATER
from hostnet.lock import Lock, NamespaceLock
from libcni import NetworkConfigList
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.reliability.races import networks
from tests.reliability.races.mix import reserved

Make = Callable[[Host], NetworkConfigList]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait of a twentieth of a second in place of ten."""
    for kind in (Lock, NamespaceLock):
        _, _, *more = kind.__init__.__defaults__ or ()
        monkeypatch.setattr(kind.__init__, "__defaults__", (0.05, 0.05, *more))


@pytest.fixture
def uplink(host: Host) -> Iterator[None]:
    networks.connect(host)
    yield
    networks.disconnect(host)


def _chain(network: NetworkConfigList) -> list[dict[str, Any]]:
    head = {"cniVersion": network.version, "name": network.name}
    return [{**one.config.raw, **head} for one in network.plugins]


def _fails(runtime: Runtime, verb: str, config: dict[str, Any], netns: Namespace) -> str:
    with pytest.raises(PluginError) as caught:
        runtime.call(verb, config, netns=netns)
    assert caught.value.code == TRY_AGAIN_LATER, caught.value.msg
    assert str(os.getpid()) in caught.value.msg, "the holder is not named"
    return caught.value.msg


def test_both_wait_ten_seconds_for_a_holder_and_a_minute_for_all() -> None:
    for kind in (Lock, NamespaceLock):
        assert (kind.__init__.__defaults__ or ())[:2] == (10.0, 60.0)


@pytest.mark.usefixtures("uplink", "impatient")
@pytest.mark.parametrize("make", [networks.published, networks.overlay, networks.by_iptables])
def test_the_namespaces_lock(make: Make, host: Host, container: Namespace, tmp_path: Path) -> None:
    runtime = Runtime(tmp_path)
    first, *_ = _chain(make(host))
    before = set(host.links())
    with NamespaceLock():
        message = _fails(runtime, "ADD", first, container)
    assert "/proc/thread-self/ns/net" in message
    assert set(host.links()) == before
    assert set(container.links()) == {"lo"}
    assert reserved(host.state / "ipam" / first["name"]) == set()
    runtime.delete(first, netns=container)


@pytest.mark.usefixtures("uplink", "impatient")
@pytest.mark.parametrize("make", [networks.published, networks.routed, networks.lan])
def test_the_address_directorys_lock(
    make: Make, host: Host, container: Namespace, tmp_path: Path
) -> None:
    runtime = Runtime(tmp_path)
    first, *_ = _chain(make(host))
    directory = host.state / "ipam" / first["name"]
    directory.mkdir(parents=True)
    before = set(host.links())
    with Lock(str(directory / "lock")):
        message = _fails(runtime, "ADD", first, container)
        assert str(directory / "lock") in message
        _fails(runtime, "DEL", first, container)
    assert set(host.links()) == before
    assert set(container.links()) == {"lo"}
