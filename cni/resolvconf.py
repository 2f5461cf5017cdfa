"""Resolver settings out of a file in the form of resolv.conf(5)."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.result import DNS

_LARGEST = 1 << 20


def read_resolv_conf(path: str) -> DNS:
    """The file's settings, read as the reference does: words, the last `domain`, all of the rest.

    Raises CniError(INVALID_CONFIG) where it cannot be read or is no text.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_LARGEST)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CniError(
            INVALID_CONFIG,
            f'key "ipam.resolvConf": found "{path}", which cannot be read ({reason}), expected a '
            "file such as /etc/resolv.conf",
        ) from error
    lists: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    domain = ""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "domain":
            domain = words[1]
        elif words[0] == "nameserver":
            lists["nameserver"].append(words[1])
        elif words[0] in lists:
            lists[words[0]] += words[1:]
    return DNS(
        nameservers=tuple(lists["nameserver"]),
        domain=domain,
        search=tuple(lists["search"]),
        options=tuple(lists["options"]),
    )
