"""Fixtures of the dhcp tests: a LAN, a server, the daemon, a network on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dhcp.world import RANGE4, Daemon, Dnsmasq, Lan, Network
from tests.kit.calls import Runtime
from tests.kit.host import Host


@pytest.fixture
def lan(host: Host, tmp_path: Path) -> Iterator[Lan]:
    made = Lan(host, tmp_path)
    yield made
    made.close()


@pytest.fixture
def daemon(host: Host, tmp_path: Path) -> Iterator[Daemon]:
    """It runs, is patient for three seconds, and keeps its leases below `tmp_path`."""
    flags = ("-timeout=1s", "-resendmax=1s", "-resendtimeout=3s")
    with Daemon(host, tmp_path, *flags) as made:
        yield made
        assert not made.files, "the test left leases"
    assert not made.count("Traceback"), "\n".join(made.lines)


@pytest.fixture
def server(lan: Lan, tmp_path: Path) -> Iterator[Dnsmasq]:
    """dnsmasq with addresses from 10.99.0.10 on."""
    with Dnsmasq(lan, tmp_path, RANGE4) as made:
        yield made


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


@pytest.fixture
def network(runtime: Runtime, daemon: Daemon) -> Network:
    return Network(runtime, daemon)
