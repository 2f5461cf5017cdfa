"""Sysctls: what the config names, as paths below /proc/sys, and what the kernel has.

A key is that of sysctl(8), `net.core.somaxconn`. IFNAME in it stands for the interface of the call.
A key whose first separator is a slash keeps its dots, for an interface such as `eth0.100`:
`net/ipv4/conf/eth0.100/arp_filter`.
"""

from __future__ import annotations

import errno

from cni.errors import INVALID_CONFIG, INVALID_ENVIRONMENT, CniError
from cni.jsonvalue import wrong_value
from cni.record import record
from hostnet import sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.jsonvalue import JsonObject
    from hostnet.netns import NetNS
    from hostnet.undo import Undo

_WRONG_VALUE = (errno.EINVAL, errno.ERANGE, errno.EDOM)
_ALIASES = {sysctl.FORWARDING[4]: "net/ipv4/conf/all/forwarding"}
_EXPECTED = "the name of a sysctl of the network namespace, such as net.core.somaxconn"


@record
class Sysctl:
    """key: as the config has it. path: below /proc/sys."""

    key: str
    path: str
    value: str


def read_sysctls(call: Call, config: JsonObject, args: JsonObject) -> tuple[Sysctl, ...]:
    """The config's, with those of `args.cni` over and beside them.

    Raises CniError(INVALID_CONFIG) for a name outside of /proc/sys/net, one that is there twice
    and one that the host does not allow.
    """
    _refuse_repeated(call, config)
    wanted = {one.path: one for one in _read(config, call.ifname)}
    wanted.update((one.path, one) for one in _read(args, call.ifname))
    found = tuple(wanted.values())
    if found:
        from cni_tuning.allowlist import require_allowed

        require_allowed([one.key for one in found])
    return found


def _refuse_repeated(call: Call, config: JsonObject) -> None:
    names = config.object("sysctl").raw
    text = call.stdin.decode()
    # What the text has once, no object has twice, unless a name is spelt with an escape. To look is
    # a fraction of reading all of it anew.
    if "\\" not in text and all(text.count(f'"{name}"') == 1 for name in names):
        return
    from cni.jsontext import repeated_keys

    for key in repeated_keys(text, "sysctl"):
        raise CniError(
            INVALID_CONFIG,
            f'key "sysctl.{key[:60]}": it is there twice, expected each once: duplicated '
            "sysctl keys are not allowed",
        )


def _read(config: JsonObject, ifname: str) -> list[Sysctl]:
    section = config.object("sysctl")
    found: dict[str, Sysctl] = {}
    for key, text in section.texts().items():
        place = section.place(key[:60])
        path = _path(key, ifname, place)
        if path in found:
            raise CniError(
                INVALID_CONFIG,
                f'key "{place}": it names the same sysctl as "{found[path].key}", expected each '
                "once",
            )
        found[path] = Sysctl(key, path, text)
    return list(found.values())


def _path(key: str, ifname: str, place: str) -> str:
    separator = next((letter for letter in key if letter in "./"), ".")
    parts = (key.replace(".", "/") if separator == "." else key).split("/")
    if (
        parts[0] != "net"
        or len(parts) < 2
        or any(part in ("", ".", "..") or not part.isprintable() for part in parts)
    ):
        raise wrong_value(place, key, _EXPECTED)
    for index, part in enumerate(parts):
        if "IFNAME" in part:
            if ifname in ("all", "default"):  # these name no single interface
                raise CniError(
                    INVALID_ENVIRONMENT,
                    f'CNI_IFNAME: found {ifname!r}, expected another name with "{place}"',
                )
            parts[index] = part.replace("IFNAME", ifname, 1)
            break
    return "/".join(parts)


def apply(ns: NetNS, wanted: tuple[Sysctl, ...], undo: Undo) -> None:
    """Set those that are not so already. What is missing is refused before any is set.

    Those of all interfaces always: with each write the kernel hands on to single ones what has
    another value there. Raises CniError: INVALID_CONFIG for a value that the kernel does not take.
    Raises SysctlError.
    """
    with ns.entered():
        before = [_value(one.path) for one in wanted]
        for one, value in zip(wanted, before, strict=True):
            is_so = value is not None and value.split() == one.value.split()
            if is_so and not _is_of_all(one.path):
                continue
            if value is not None:
                undo.push(_restore, ns, {one.path: value, **_handed_on(one.path)})
            try:
                sysctl.write(one.path, one.value)
            except sysctl.SysctlError as error:
                if error.errno in _WRONG_VALUE:
                    raise wrong_value(
                        f"sysctl.{one.key}", one.value, "a value that the kernel takes"
                    ) from error
                if not is_so:  # else it is right where it cannot be written
                    raise


def _is_of_all(path: str) -> bool:
    return not {"all", "default"}.isdisjoint(_ALIASES.get(path, path).split("/"))


def _handed_on(path: str) -> dict[str, str]:
    """The sysctls of single interfaces that one of all interfaces is handed on to, as they are."""
    family, of_all, name = _ALIASES.get(path, path).partition("/conf/all/")
    if not of_all:
        return {}
    paths = (f"{family}/conf/{interface}/{name}" for interface in sysctl.names(f"{family}/conf"))
    found = {one: _value(one) for one in paths}
    return {one: value for one, value in found.items() if value is not None}


def _restore(ns: NetNS, before: dict[str, str]) -> None:
    """Write those that are not so any more, the one that is handed on first."""
    with ns.entered():
        for path, value in before.items():
            sysctl.ensure(path, value, missing_ok=True)


def _value(path: str) -> str | None:
    """None for one that can only be written. Raises SysctlError, ENOENT where there is none."""
    try:
        return sysctl.read(path)
    except sysctl.SysctlError as error:
        if error.errno == errno.ENOENT:
            raise
        return None


def problems(ns: NetNS, wanted: tuple[Sysctl, ...]) -> list[str]:
    """Those that are not as wanted, in words."""
    found = []
    with ns.entered():
        for one in wanted:
            try:
                value = _value(one.path)
            except sysctl.SysctlError as error:
                found.append(str(error))
                continue
            if value is not None and not _same(value, one.value):
                found.append(f'sysctl {one.path} is "{value}", expected "{one.value}"')
    return found


def _same(value: str, wanted: str) -> bool:
    """The kernel writes what it was given in its own way: 0x10 as 16, ports 1,2,3 as 1-3."""
    found, asked = value.split(), wanted.split()
    return len(found) == len(asked) and all(map(_same_word, found, asked))


def _same_word(found: str, asked: str) -> bool:
    if found == asked:
        return True
    try:
        return _numbers(found) == _numbers(asked)
    except ValueError:
        return False


def _numbers(word: str) -> list[tuple[int, int]]:
    """A number, or a list of numbers and ranges, as ranges in order. Raises ValueError."""
    ranges: list[tuple[int, int]] = []
    for part in sorted(_range(part) for part in word.split(",") if part):
        if ranges and part[0] <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], part[1]))
        else:
            ranges.append(part)
    return ranges


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text[1:].partition("-")  # the first may have a sign
    low = int(text[0] + first, 0)
    return low, int(last, 0) if dash else low
