"""The throwaway host, which pycni ships for the tests of others too (cni_testing)."""

from __future__ import annotations

from cni_testing.host import SYSTEM_DIRECTORIES, Host

__all__ = ["SYSTEM_DIRECTORIES", "Host"]
