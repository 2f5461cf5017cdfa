"""The daemon's log, which has the shape of every daemon's of the suite."""

from cni.journal import log

__all__ = ["log"]
