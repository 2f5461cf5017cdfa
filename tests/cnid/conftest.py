"""Fixtures of the daemon's tests: the compiled launcher, a suite on a throwaway host, a daemon."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cnid.daemon import Daemon, Gate, Suite, compile_launcher, compile_stand_in
from tests.kit.host import Host


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the launcher, variants of it, and the cold executable's stand-in."""
    directory = tmp_path_factory.mktemp("compiled")
    compile_launcher(directory / "launcher")
    compile_launcher(directory / "impatient", ACCEPT_MS=200)
    compile_launcher(directory / "patient", ACCEPT_MS=1500)
    compile_launcher(directory / "other-build", BUILD="other")
    compile_stand_in(directory / "stand-in")
    return directory


@pytest.fixture
def suite(host: Host, tmp_path: Path, compiled: Path) -> Suite:
    host.share_bridge("cni0")
    host.share_nft()
    host.share_locks()
    return Suite(tmp_path, compiled / "launcher", compiled / "stand-in")


@pytest.fixture
def daemon(suite: Suite) -> Iterator[Daemon]:
    """Two workers are enough for most."""
    with Daemon(suite, "--workers=2") as made:
        yield made


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many descriptors for the test as it may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.close()
