"""The daemon's command line, which is the reference's: Go's `flag` package and its durations."""

from __future__ import annotations

import re

from cni.record import record, replace

_DURATION = re.compile(r"([+-]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+")
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}

USAGE = """\
Usage of dhcp daemon:
  -broadcast
        ask servers to answer to everybody, not to the address they give
  -hostprefix string
        where the host's root is, put before the socket's path and those of namespaces
  -pidfile string
        absolute path of a file to write the process id to
  -resendmax duration
        the longest pause between two sendings (default 1m2s)
  -resendtimeout duration
        how long an ADD asks before it fails (default 3m28s)
  -socketpath string
        where plugins connect (default /run/cni/dhcp.sock)
  -timeout duration
        how long to wait for an answer to one request, repeated meanwhile (default 10s)
"""


class UsageError(Exception):
    """The command line is wrong, or asks for help: then it says nothing."""


@record
class Flags:
    """What was asked. Durations in seconds."""

    pidfile: str = ""
    hostprefix: str = ""
    socketpath: str = ""
    broadcast: bool = False
    timeout: float = 10.0
    resendmax: float = 62.0
    resendtimeout: float = 208.0


def parse(arguments: list[str]) -> Flags:
    """Read `-name value`, `-name=value`, and both with two hyphens. Raises UsageError."""
    found = Flags()
    left = list(arguments)
    while left and left[0].startswith("-") and left[0] not in ("-", "--"):
        name, equals, value = left.pop(0).removeprefix("-").removeprefix("-").partition("=")
        if name in ("h", "help"):
            raise UsageError
        default = getattr(found, name, None) if name in Flags.__annotations__ else None
        if default is None:
            raise UsageError(f"flag provided but not defined: -{name}")
        if isinstance(default, bool) and not equals:
            value = "true"
        elif not equals:
            if not left:
                raise UsageError(f"flag needs an argument: -{name}")
            value = left.pop(0)
        found = replace(found, **{name: _read(name, value, default)})
    if left and left[0] != "--":
        raise UsageError(f"unexpected argument: {left[0]}")
    return found


def _read(name: str, value: str, default: object) -> object:
    if isinstance(default, bool):
        if value not in _BOOLEANS:
            raise UsageError(f'invalid boolean value "{value}" for -{name}')
        return _BOOLEANS[value]
    if isinstance(default, str):
        return value
    try:
        seconds = duration(value)
    except ValueError as error:
        raise UsageError(f'invalid value "{value}" for flag -{name}: {error}') from None
    if seconds <= 0:
        raise UsageError(f'invalid value "{value}" for flag -{name}: it must be more than 0')
    return seconds


def duration(text: str) -> float:
    """Seconds of Go's `1m30s`, `500ms`, `1.5h`. Raises ValueError."""
    if text.lstrip("+-") == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("expected a duration such as 10s, 1m30s or 500ms")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    return -seconds if match[1] == "-" else seconds
