"""A runtime as the bridge's tests have it, and an IPAM plugin that takes no process to call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bridge.conftest import runtime
from tests.kit.calls import Runtime
from tests.kit.ipam import BundledIpam
from tests.reliability.conftest import publish, whole

__all__ = ["fake", "publish", "runtime", "whole"]


@pytest.fixture
def fake(runtime: Runtime, tmp_path: Path) -> BundledIpam:
    return BundledIpam(runtime, tmp_path)
