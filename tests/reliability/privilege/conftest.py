"""The executables under test."""

from tests.packaging.conftest import built

__all__ = ["built"]
