"""What the tests of the protocol share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.kit.namespace import Namespace

# A busy machine is no failure: no test here is about time.
settings.register_profile("pycni", deadline=None)
settings.load_profile("pycni")


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    """A container's network namespace."""
    made = Namespace(tmp_path / "netns")
    yield made
    made.close()
