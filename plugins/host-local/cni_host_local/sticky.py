"""`sticky`: a workload's own place in a range set, where the search for its address begins.

The place is computed from who the workload is, so it is the same after a DEL, after a reboot and on
another machine, and nothing is kept that could be lost, left behind or in the reference's way.

It moves as seldom as can be when the config changes. The number of the set is no part of it. It is
drawn from the ranges with all that is excluded in them, in a power of two of places, and drawn anew
where there is none or one that is not given out: so an address that is excluded moves its own
workload only, and a range that grows moves those to whom the new part falls.
"""

from __future__ import annotations

from cni.ranges import address_of, nth, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha512

    from cni.ip import Address
    from cni.ranges import RangeSet
else:
    try:
        from _sha2 import sha512
    except ImportError:  # before Python 3.12
        from _sha512 import sha512

_PLACES = 1 << 24
"""From the set's start on. All of an IPv6 subnet would scatter the addresses so that each takes a
page of the index; in so many places, two of a thousand containers meet once in thirty hosts."""
_DRAW = 4
"""Bytes of the hash, so there are 16 draws."""


def place(one: RangeSet, workload: tuple[str, ...]) -> Address:
    """The address at which the search begins: one that may be given out. workload: in the config.

    What it gives is written in nobody's files and still must never change: a version that computes
    another one moves everybody's addresses.
    """
    digest = sha512("\0".join(workload).encode(errors="surrogateescape")).digest()
    allowed = one.spans()
    ranges = [(int(each.start), int(each.end)) for each in one.ranges]
    count = min(size(ranges), _PLACES)
    mask = (1 << (count - 1).bit_length()) - 1
    for at in range(0, len(digest), _DRAW):
        index = int.from_bytes(digest[at : at + _DRAW], "big") & mask
        if index < count:
            number = nth(ranges, index)
            if any(low <= number <= high for low, high in allowed):
                return address_of(number, one.version)
    # Hardly anything of it is given out.
    index = int.from_bytes(digest, "big") % min(size(allowed), _PLACES)
    return address_of(nth(allowed, index), one.version)
