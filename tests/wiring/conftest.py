"""The bridge's own fixtures serve here as well."""

from tests.bridge.conftest import fake, runtime

__all__ = ["fake", "runtime"]
