"""Words for what the kernel did not permit: which privilege is missing, and who can give it.

"Operation not permitted" is the whole of the kernel's answer, whatever it misses. What the process
may do stands in /proc (proc(5)), which is read only when something was refused.
"""

from __future__ import annotations

import os

_OF_FILES = "CAP_DAC_OVERRIDE"
_NUMBERS = {  # <linux/capability.h>
    _OF_FILES: 1,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_ADMIN": 21,
}
_REFUSED, _DENIED = "not permitted", "ermission denied"  # EPERM, EACCES
_WHO = "this process"
_WHOLE_MAP = ["0", "0", "4294967295"]


def hint(text: str, needed: tuple[str, ...]) -> str:
    """A clause to end the text of what may be a refusal with; empty where there is none to say.

    needed: the capabilities that the plugin does not work without.
    """
    if _WHO in text:  # of a plugin that this one has called
        return ""
    if "iptables" in text:
        needed = (*needed, "CAP_NET_RAW")  # iptables-legacy talks to the kernel by a raw socket
    has = _effective()
    missing = [name for name in needed if not has >> _NUMBERS[name] & 1]
    if not missing and _DENIED in text and not has >> _NUMBERS[_OF_FILES] & 1:
        missing = [_OF_FILES]
    user = os.geteuid()
    if missing and user != 0:
        return (
            f"; {_WHO} is user {user}'s and has no {' and no '.join(missing)}: run it as root, or "
            "in user, mount and network namespaces of its own (RootlessKit, unshare -Urnm)"
        )
    if missing:
        return (
            f"; {_WHO} has no {' and no '.join(missing)}: leave it to whoever runs the plugin "
            "(CapabilityBoundingSet= of a unit, --cap-add of a container)"
        )
    if not _of_the_host():
        return (
            f"; {_WHO} is in a user namespace, whose root may change only what belongs to it: run "
            "it as the host's root, or with a network namespace and files of the user namespace's"
        )
    if _REFUSED not in text and _DENIED not in text:
        return ""  # words that may mean something else
    return (
        f"; {_WHO} has the capabilities for it: a security module (SELinux, AppArmor), a seccomp "
        "filter or a control group's device filter may forbid it"
    )


def _effective() -> int:
    """The effective capabilities of the calling thread as bits; all of them where /proc is gone."""
    try:
        with open("/proc/thread-self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("CapEff:"):
                    return int(line.split()[1], 16)
    except OSError:
        pass
    return -1


def _of_the_host() -> bool:
    """Whether the process is in the first user namespace (user_namespaces(7))."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as mapped:
            return mapped.read().split() == _WHOLE_MAP
    except OSError:
        return True
