"""The executables under test: what `make build` left, as `make test` builds before it tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def built() -> Path:
    """dist/bin. A missing one is a failure: a skip would let a release go untested."""
    directory = ROOT / "dist" / "bin"
    assert (directory / "bridge").exists(), "no executables in dist/bin: run `make build` first"
    return directory


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> None:
    """For a test that takes long: it runs with --whole (`make test-packages`)."""
    if not request.config.getoption("--whole"):
        pytest.skip("with --whole, as `make test-packages` has it")
