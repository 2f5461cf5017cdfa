"""The names of the device through which what a container sends is shaped.

The reference names it after network and container, so that it has one for each container; ours is
named after the interface as well. Where it is free, ours has the reference's name for its second,
by which the reference deletes it.
"""

from __future__ import annotations

from _blake2 import blake2s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha512

    from cni.call import Call
else:
    try:
        from _sha2 import sha512
    except ImportError:  # before Python 3.12
        from _sha512 import sha512

_PREFIX = "bwp"


def own(owner: str) -> str:
    """The device's name for an attachment, the same on ADD, DEL and GC; of 48 bits."""
    return _PREFIX + blake2s(owner.encode(), digest_size=6).hexdigest()


def references(call: Call) -> str:
    """The name that the reference gives the one device of the container on this network."""
    text = call.network + call.container_id
    return _PREFIX + sha512(text.encode()).hexdigest()[:12]
