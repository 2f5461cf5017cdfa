"""A runtime, and an IPAM plugin that says what the test wants."""

from tests.macvlan.conftest import fake, runtime

__all__ = ["fake", "runtime"]
