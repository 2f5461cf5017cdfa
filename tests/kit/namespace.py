"""Throwaway network namespaces, which pycni ships for the tests of others too (cni_testing)."""

from __future__ import annotations

from cni_testing.namespace import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    COMMAND_SECONDS,
    MNT_DETACH,
    MS_BIND,
    MS_PRIVATE,
    MS_REC,
    Namespace,
    in_thread,
    libc,
    mount,
)

__all__ = [
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "COMMAND_SECONDS",
    "MNT_DETACH",
    "MS_BIND",
    "MS_PRIVATE",
    "MS_REC",
    "Namespace",
    "in_thread",
    "libc",
    "mount",
]
