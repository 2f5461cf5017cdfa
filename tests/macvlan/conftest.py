"""A runtime, and an IPAM plugin that says what the test wants; of ours, so that it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.calls import Runtime
from tests.kit.host import Host
from tests.kit.ipam import BundledIpam


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    host.share_nft()
    return Runtime(tmp_path)


@pytest.fixture
def fake(runtime: Runtime, tmp_path: Path) -> BundledIpam:
    return BundledIpam(runtime, tmp_path)
