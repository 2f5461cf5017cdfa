"""The names and comments that the reference suite gives its iptables chains and rules, and ours.

Tools read the names (nerdctl finds used ports by them), clean-up scripts too, and a container added
by one suite may be deleted by the other. So the chains are the reference's, one for each container
on a network. Whose each rule in it is, an attachment's, is told by a comment of ours, which the
reference neither minds nor needs.
"""

from __future__ import annotations

from hostnet import iptables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha512
else:
    try:
        from _sha2 import sha512
    except ImportError:  # before Python 3.12
        from _sha512 import sha512

_CHAIN_LONGEST = 28  # MAX_CHAIN_LENGTH of the reference, as many as old iptables takes
OWN_PREFIX = "CNI-FW-"
COMMENT_LONGEST = 255  # XT_MAX_COMMENT_LEN - 1, <linux/netfilter/xt_comment.h>


def chain(network: str, container: str, prefix: str = "") -> str:
    """The container's own chain on a network: `CNI-`, the prefix, and hexadecimal digits."""
    digest = sha512((network + container).encode(errors="surrogateescape")).hexdigest()
    return f"CNI-{prefix}{digest}"[:_CHAIN_LONGEST]


def own_chain(owner: str) -> str:
    """A chain of ours, of an attachment: the reference has none like it."""
    return f"{OWN_PREFIX}{hashed(owner, _CHAIN_LONGEST - len(OWN_PREFIX))}"


def hashed(text: str, length: int) -> str:
    """The first digits of a text's hash, as comments of the reference's nftables rules have it."""
    return sha512(text.encode(errors="surrogateescape")).hexdigest()[:length]


def label(owner: str) -> str:
    """The comment that says whose a rule is: the owner's name, or its hashes if that is long."""
    if len(owner.encode(errors="surrogateescape")) <= COMMENT_LONGEST:
        return owner
    network, _, _ = owner.partition("/")
    return f"{group(network)}/{hashed(owner, 32)}"


def group(network: str) -> str:
    """What stands for the network in a label that is a hash."""
    return f"#{hashed(network, 32)}"


def is_of(comment: str, network: str) -> bool:
    """Whether a label is that of an owner on this network."""
    return comment.partition("/")[0] in (network, group(network))


def comment(text: str) -> str:
    """The match that does nothing but say something, as iptables-save prints it."""
    return f"-m comment --comment {iptables.quote(text[:COMMENT_LONGEST])}"


def commented(rule: str) -> str:
    """What a rule's comment says; empty without one."""
    return iptables.option(iptables.words(rule), "--comment")
