"""Names that become file names, device names or nft comments, checked before anything uses them."""

from __future__ import annotations

_LONGEST = 200
"""The results cache joins network, container and interface into one file name of at most 255."""
_IFNAME_LONGEST = 15  # IFNAMSIZ - 1, linux/if.h
_FORBIDDEN = frozenset("/:%")
_SPACE_TO_THE_KERNEL = b"\xa0"
"""isspace() of lib/ctype.c is Latin-1's, so that no UTF-8 character with this byte passes: `à`."""


def name_problem(name: str) -> str:
    """What is wrong with a network name or container id; empty if nothing is.

    SPEC.md: letters and digits first, then also `_`, `.` and `-`.
    """
    if not name:
        return "it is empty"
    if len(name) > _LONGEST:
        return f"it has {len(name)} characters, expected at most {_LONGEST}"
    plain = name.replace("_", "").replace(".", "").replace("-", "")
    if not (name[0].isalnum() and plain.isalnum() and plain.isascii()):
        return f"found {name[:40]!r}, expected letters, digits and '_.-', the first alphanumeric"
    return ""


def ifname_problem(name: str) -> str:
    """What is wrong with an interface name; empty if nothing is.

    The kernel's dev_valid_name, and no `%`, which it takes for a pattern: `eth%d` becomes `eth0`.
    Nor what is no printable text, since a result could not name it.
    """
    if not name:
        return "it is empty"
    found = repr(name[:40])
    encoded = name.encode(errors="replace")  # half a surrogate pair is not printable
    if len(encoded) > _IFNAME_LONGEST:
        return f"found {found} of {len(encoded)} bytes, expected at most {_IFNAME_LONGEST}"
    if (
        name in (".", "..")
        or not name.isprintable()
        or not _FORBIDDEN.isdisjoint(name)
        or name.split() != [name]  # white space of any kind
        or _SPACE_TO_THE_KERNEL in encoded
    ):
        return (
            f"found {found}, expected printable text without '/', ':', '%' and white space, "
            "and neither '.' nor '..'"
        )
    return ""
