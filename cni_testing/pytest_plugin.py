"""The fixtures, for any pytest that has pycni beside it; nothing happens until one is asked for.

Their names begin with `cni_`, since `host` is what others call theirs. Imports wait as well: this
module is loaded at the start of every run of pytest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cni_testing.host import Host
    from cni_testing.namespace import Namespace


@pytest.fixture(scope="session")
def cni_mounts() -> Iterator[None]:
    """Mounts of the session's own: /run/cni and /var/lib/cni are empty, the machine's untouched."""
    if os.geteuid() != 0:
        pytest.fail("it takes root to make network namespaces; run pytest as root", pytrace=False)
    from cni_testing.host import private_mounts

    with private_mounts():
        yield


@pytest.fixture
def cni_host(tmp_path: Path, cni_mounts: None) -> Iterator[Host]:
    """A throwaway host, in whose network namespace the test runs.

    A test that leaves anything in it fails, and is told what: links, addresses, routes, rules,
    nftables, files in `state` and in the default directories, processes, in the host and in each
    container.
    """
    from cni_testing.host import throwaway

    with throwaway(tmp_path) as made:
        yield made


@pytest.fixture
def cni_container(cni_host: Host) -> Namespace:
    """One container's network namespace; `cni_host.container()` makes more."""
    return cni_host.container()
