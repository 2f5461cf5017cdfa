"""The one list of specification versions that every plugin's tests are parametrised on."""

from __future__ import annotations

import pytest

from cni.versions import SPEC_VERSIONS

__all__ = ["SPEC_VERSIONS", "each_version", "versions_since"]

each_version = pytest.mark.parametrize("version", SPEC_VERSIONS)
"""Decorator: the test gets `version`, each of them."""


def versions_since(first: str) -> tuple[str, ...]:
    """Those from `first` on: CHECK since "0.4.0", GC and STATUS since "1.1.0"."""
    return SPEC_VERSIONS[SPEC_VERSIONS.index(first) :]
