"""Fixtures for every test: a throwaway host, containers, and the check that nothing is left.

The session gets a mount namespace of its own, so that no bind mount outlives it, and a `host` test
moves its thread into a network namespace of its own, so that plugins can be called as functions.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni_testing import leaks
from cni_testing.host import SYSTEM_DIRECTORIES, Host, private_mounts, throwaway
from cni_testing.namespace import Namespace

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options of tests/reliability; pytest takes options only from here."""
    group = parser.getgroup("pycni")
    group.addoption(
        "--whole", action="store_true", help="every point of the long matrices, not a sample"
    )
    group.addoption(
        "--tables",
        action="store_true",
        help="with --whole: write the tables into docs/reliability.md",
    )


def pytest_configure() -> None:
    """What nohup or a shell's `&` has these signals ignored for would hold for executables too."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The second kernel first: it is the longest, and nobody is to wait for it at the end."""
    items.sort(key=lambda one: "tests/second_kernel/" not in one.nodeid)


@pytest.fixture(scope="session", autouse=True)
def _private_mounts() -> Iterator[None]:
    """Mounts of the session's own, the suite's default directories empty in it."""
    with private_mounts():
        yield


@pytest.fixture(autouse=True)
def _leak_check(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test moves the thread, leaves a child process or a signal's handler, or writes to the
    default directories.
    """
    before = _machine()
    yield
    now = _machine()
    assert now == before, f"left by the test: {sorted(now - before)}, lost: {sorted(before - now)}"


def _machine() -> set[str]:
    found = leaks.of_process() | leaks.of_directories(SYSTEM_DIRECTORIES)
    found |= {f"{one.name}: {signal.getsignal(one)}" for one in _SIGNALS}
    return found | {os.readlink("/proc/thread-self/ns/net")}


@pytest.fixture
def host(tmp_path: Path, _leak_check: None) -> Iterator[Host]:
    """The throwaway host, in which the test's thread is; checked for leaks at the end."""
    with throwaway(tmp_path) as made:
        yield made


@pytest.fixture
def container(host: Host) -> Namespace:
    """One container's namespace; `host.container()` makes more."""
    return host.container()
