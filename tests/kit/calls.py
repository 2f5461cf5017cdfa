"""Calls plugins through the door and in this process: cni_testing.runtime, which pycni ships."""

from __future__ import annotations

from cni_testing.runtime import Document, PluginError, Runtime

__all__ = ["Document", "PluginError", "Runtime"]
