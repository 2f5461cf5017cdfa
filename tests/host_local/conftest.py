"""Fixtures of the host-local tests: a network whose data directory is the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cni_host_local import index
from tests.host_local.network import Network, remove_indexes
from tests.kit.namespace import Namespace


@pytest.fixture(autouse=True)
def _always_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep an index of the fewest addresses too: these tests have few. See test_few.py."""
    monkeypatch.setattr(index, "FEW", 0)


@pytest.fixture(scope="session")
def netns(tmp_path_factory: pytest.TempPathFactory, _private_mounts: None) -> Iterator[Namespace]:
    """A container's namespace, which ADD and CHECK must be given and host-local never enters."""
    made = Namespace(tmp_path_factory.mktemp("host_local") / "netns")
    yield made
    made.close()


@pytest.fixture
def network(tmp_path: Path, netns: Namespace) -> Iterator[Network]:
    """A network with the range 10.1.2.0/24. Its index goes with it."""
    yield Network(tmp_path, netns)
    remove_indexes("net", "other")
