"""The executables under test: what `make build` left, as `make test` builds before it tests."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import lean
import pytest

from cni_bundle.plugins import PLUGINS
from tests.packaging.cold import ROOT, ROOTS


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


@pytest.fixture
def executables(tmp_path: Path) -> Path:
    """A directory in which every plugin is a name of one executable, as in the bundle."""
    directory = tmp_path / "bin"
    directory.mkdir()
    first = directory / next(iter(PLUGINS))
    first.touch(mode=0o755)
    for name in PLUGINS:
        if not (directory / name).exists():
            (directory / name).hardlink_to(first)
    return directory


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    """Where modules are looked for, in this order."""
    changed = tmp_path / "changed"
    changed.mkdir()
    source = lean.source_of("ipaddress", Path(ipaddress.__file__))
    (changed / "ipaddress.py").write_bytes(source)
    return [changed, *ROOTS]
