"""What plugins are to each other, for `cnitool validate`: what no schema of one of them says."""

from __future__ import annotations

RANGES = frozenset({"etcd-ipam", "host-local"})
"""IPAM plugins that give out addresses of ranges, by the same keys."""

CHAINED = frozenset({"bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf"})
"""Plugins that work on what one before them in the list has made, and allocate no addresses."""

NEEDS_CAPABILITY = {"bandwidth": "bandwidth", "portmap": "portMappings"}
"""What a plugin gets from the runtime, and only where its capability is declared."""
