"""Names that become file names, device names or nft comments, checked before anything uses them."""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_LONGEST = 200
"""The results cache joins network, container and interface into one file name of at most 255."""
_IFNAME_LONGEST = 15  # IFNAMSIZ - 1, linux/if.h
_IFNAME_REFUSED = re.compile(r"[/:\s]")


def name_problem(name: str) -> str:
    """What is wrong with a network name or container id; empty if nothing is.

    SPEC.md: letters and digits first, then also `_`, `.` and `-`.
    """
    if not name:
        return "it is empty"
    if not _NAME.fullmatch(name):
        return f"found {name[:40]!r}, expected letters, digits and '_.-', the first alphanumeric"
    if len(name) > _LONGEST:
        return f"it has {len(name)} characters, expected at most {_LONGEST}"
    return ""


def ifname_problem(name: str) -> str:
    """What is wrong with an interface name; empty if nothing is (the kernel's dev_valid_name)."""
    if not name:
        return "it is empty"
    if len(name.encode(errors="surrogateescape")) > _IFNAME_LONGEST:
        return f"found {name[:40]!r} of {len(name)} characters, expected at most {_IFNAME_LONGEST}"
    if name in (".", "..") or _IFNAME_REFUSED.search(name) or not name.isprintable():
        return f"found {name!r}, expected no '/', ':' or white space, and neither '.' nor '..'"
    return ""
