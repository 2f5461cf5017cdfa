"""What the tests of the protocol share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.kit.namespace import Namespace

# A busy machine is no failure: no test here is about time. The rest is hypothesis's own choice,
# which in CI is to try the same examples every time.
settings.register_profile("pycni", parent=settings(), deadline=None)
settings.load_profile("pycni")


@pytest.fixture(scope="session")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A container's network namespace; nobody changes anything in it."""
    made = Namespace(tmp_path_factory.mktemp("cni") / "netns")
    yield made
    made.close()
