"""The specification's versions as axes of tests, shipped in cni_testing."""

from __future__ import annotations

from cni_testing.versions import SPEC_VERSIONS, each_version, versions_since

__all__ = ["SPEC_VERSIONS", "each_version", "versions_since"]
