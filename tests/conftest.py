"""Fixtures for every test: a throwaway host, containers, and the check that nothing is left.

The session gets a mount namespace of its own, so that no bind mount outlives it, and a `host` test
moves its thread into a network namespace of its own, so that plugins can be called as functions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import leaks
from tests.kit.host import SYSTEM_DIRECTORIES, Host
from tests.kit.namespace import CLONE_NEWNS, MNT_DETACH, MS_PRIVATE, MS_REC, Namespace, libc, mount


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


@pytest.fixture(scope="session", autouse=True)
def _private_mounts() -> Iterator[None]:
    """A mount namespace of the session's own, the suite's default directories empty in it.

    The machine gets these directories if it has not got them, and keeps them: removing one would
    take away what another session has mounted there.
    """
    for directory in SYSTEM_DIRECTORIES:
        directory.mkdir(parents=True, exist_ok=True)
    libc("unshare", CLONE_NEWNS)
    mount("none", Path("/"), "none", MS_REC | MS_PRIVATE)
    for directory in SYSTEM_DIRECTORIES:
        mount("none", directory, "tmpfs")
    yield
    for directory in SYSTEM_DIRECTORIES:
        libc("umount2", bytes(directory), MNT_DETACH)


@pytest.fixture(autouse=True)
def _leak_check(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test moves the thread, leaves a child process, or writes to the default directories."""
    before = _machine()
    yield
    now = _machine()
    assert now == before, f"left by the test: {sorted(now - before)}, lost: {sorted(before - now)}"


def _machine() -> set[str]:
    found = leaks.of_process() | leaks.of_directories(SYSTEM_DIRECTORIES)
    return found | {os.readlink("/proc/thread-self/ns/net")}


@pytest.fixture
def host(tmp_path: Path, _leak_check: None) -> Iterator[Host]:
    """The throwaway host, in which the test's thread is; checked for leaks at the end."""
    made = Host(tmp_path)
    try:
        yield made
        left = made.leaks()
    finally:
        made.leave()
    assert not left, "\n".join(["the test left the namespaces different:", *left])


@pytest.fixture
def container(host: Host) -> Namespace:
    """One container's namespace; `host.container()` makes more."""
    return host.container()
