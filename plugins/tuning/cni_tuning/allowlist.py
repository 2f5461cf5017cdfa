"""The host's allowlist: which sysctls configs may set, one regular expression a line.

Without the file all of the network namespace's may be set. As in the reference, a key is allowed
where an expression matches some part of it, so lines are best anchored:

    ^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$

Keys are matched as the config writes them, before IFNAME is replaced.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, IO_FAILURE, CniError

FILE = "/etc/cni/tuning/allowlist.conf"
# Go's (RE2's) names of characters inside brackets, which Python would take for characters.
_CLASSES = {
    "[:alnum:]": "0-9A-Za-z",
    "[:alpha:]": "A-Za-z",
    "[:digit:]": "0-9",
    "[:lower:]": "a-z",
    "[:upper:]": "A-Z",
    "[:word:]": "0-9A-Za-z_",
    "[:xdigit:]": "0-9A-Fa-f",
}


def require_allowed(keys: list[str]) -> None:
    """Raise CniError for a key that the host does not allow: INVALID_CONFIG.

    IO_FAILURE where the list cannot be read, or a line of it is no expression: then nobody knows.
    """
    try:
        with open(FILE, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.strip() for line in file]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise CniError(IO_FAILURE, f"{FILE} cannot be read: {error.strerror}") from error
    allowed = [line for line in lines if line]
    for key in keys:
        if not any(_matches(line, key) for line in allowed):
            raise CniError(
                INVALID_CONFIG,
                f"Sysctl {key} is not allowed. Only the following sysctls are allowed: "
                f"{' '.join(allowed)[:500] or '(none)'}; the list is {FILE}",
            )


def _matches(line: str, key: str) -> bool:
    import re  # 4 ms, for hosts that have the file

    # Go: what stands between \Q and \E, or the end, means itself.
    plain, *quoted = line.split(r"\Q")
    expression = plain
    for part in quoted:
        literal, _, rest = part.partition(r"\E")
        expression += re.escape(literal) + rest
    for name, characters in _CLASSES.items():
        expression = expression.replace(name, characters)
    try:
        if "[:" in expression:
            raise re.error("a class of characters that is not known")
        return re.search(expression.replace(r"\z", r"\Z"), key, re.ASCII) is not None
    except re.error as error:
        raise CniError(
            IO_FAILURE, f"{FILE}: found {line!r}, expected a regular expression: {error}"
        ) from None
