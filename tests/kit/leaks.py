"""What a namespace and the machine hold: see cni_testing.leaks, which pycni ships."""

from __future__ import annotations

from cni_testing.leaks import of_directories, of_namespace, of_process

__all__ = ["of_directories", "of_namespace", "of_process"]
