"""Names that become file names, device names or nft comments, checked before anything uses them."""

from __future__ import annotations

_LONGEST = 200
"""The results cache joins network, container and interface into one file name of at most 255."""
_IFNAME_LONGEST = 15  # IFNAMSIZ - 1, linux/if.h


def name_problem(name: str) -> str:
    """What is wrong with a network name or container id; empty if nothing is.

    SPEC.md: letters and digits first, then also `_`, `.` and `-`.
    """
    if not name:
        return "it is empty"
    if not (_is_alphanumeric(name[0]) and all(c in "_.-" or _is_alphanumeric(c) for c in name)):
        return f"found {name[:40]!r}, expected letters, digits and '_.-', the first alphanumeric"
    if len(name) > _LONGEST:
        return f"it has {len(name)} characters, expected at most {_LONGEST}"
    return ""


def _is_alphanumeric(character: str) -> bool:
    return character.isascii() and character.isalnum()


def ifname_problem(name: str) -> str:
    """What is wrong with an interface name; empty if nothing is (the kernel's dev_valid_name)."""
    if not name:
        return "it is empty"
    if len(name.encode(errors="surrogateescape")) > _IFNAME_LONGEST:
        return f"found {name[:40]!r} of {len(name)} characters, expected at most {_IFNAME_LONGEST}"
    if name in (".", "..") or any(c in "/:" or c.isspace() for c in name) or not name.isprintable():
        return f"found {name!r}, expected no '/', ':' or white space, and neither '.' nor '..'"
    return ""
