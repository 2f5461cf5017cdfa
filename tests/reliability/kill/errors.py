"""One verb of one chain, in which each system call fails in turn, or is met by a signal.

ADD has to be complete, which CHECK says, or to have left the host as it was. DEL has to be complete
or to say that it is not, and the next DEL cleans.
"""

from __future__ import annotations

import errno
import json
import re
import signal
from collections.abc import Callable
from typing import NamedTuple

from tests.kit.calls import PluginError
from tests.kit.syscalls import KILL_ISSUER, Fail, Outcome, Point, Send, Strike
from tests.reliability.kill.matrix import points_of, reach, reset, sample
from tests.reliability.kill.world import State, World

_OF_CALLS = {
    **dict.fromkeys(("sendto", "sendmsg", "recvfrom", "recvmsg", "ioctl"), errno.ENOBUFS),
    **dict.fromkeys(("write", "pwrite64", "mkdir", "link", "openat", "symlink"), errno.ENOSPC),
    **dict.fromkeys(("fsync", "fdatasync", "unlink", "rename", "rmdir", "ftruncate"), errno.EIO),
    **dict.fromkeys(("clone", "clone3", "fork", "vfork", "execve", "connect"), errno.EAGAIN),
    **dict.fromkeys(("setns", "unshare", "mount", "flock"), errno.ENOMEM),
}


def failing(point: Point) -> Strike | None:
    """What a call that fails on a real host would fail with."""
    code = _OF_CALLS.get(point.call)
    return None if code is None else Fail(code)


def no_descriptors(point: Point) -> Strike | None:
    """The process has as many files open as it may."""
    return Fail(errno.EMFILE) if point.call == "openat" else None


def terminated(_: Point) -> Strike | None:
    """SIGTERM, as a runtime sends it to a plugin that takes too long."""
    return Send(signal.SIGTERM)


def without_a_child(first: int) -> Callable[[Point], Strike | None]:
    """SIGKILL for a process that the plugin has started, of which `first` is the process id."""

    def choose(point: Point) -> Strike | None:
        return KILL_ISSUER if point.pid != first else None

    return choose


class Row(NamedTuple):
    """What a chain's verb gave. failed: how often it failed. wrong: what was not as promised.

    ended: how often libnftables ended the process, which is among what failed.
    """

    name: str
    verb: str
    tried: int
    failed: int
    ended: int
    wrong: list[str]


def struck(
    world: World, verb: str, choose: Callable[[Point], Strike | None], most: int | None = None
) -> Row:
    """The row of a verb; `most` points of it."""
    if most is None:
        points_of(world, verb)  # after which caches are filled
    points = points_of(world, verb).points
    return _row(world, verb, points, [(one, choose(one)) for one in points], most)


def without_children(world: World, verb: str, most: int | None = None) -> Row:
    """The same with the plugin's children killed, one after the other at each of its calls."""
    points = points_of(world, verb).points
    choose = without_a_child(points[0].pid)
    return _row(world, verb, points, [(one, choose(one)) for one in points], most)


def _row(
    world: World,
    verb: str,
    points: tuple[Point, ...],
    strikes: list[tuple[Point, Strike | None]],
    most: int | None,
) -> Row:
    chosen = [(point, strike) for point, strike in strikes if strike is not None]
    failed = ended = 0
    wrong: list[str] = []
    judge = _judge_add if verb == "ADD" else _judge_delete
    tried = [chosen[number - 1] for number in sample(len(chosen), most)]
    for point, strike in tried:
        reach(world, verb)
        before = world.state()
        outcome = world.strike(verb, point.number, strike)
        failed += outcome.status != 0
        ended += _is_ended(outcome, point)
        found = _wrong_answer(outcome, point) or judge(world, outcome, before)
        if found:
            wrong.append(f"{verb} with {strike} at {point.number} ({point.call}): {found}")
            reset(world)
    return Row(world.chain.name, verb, len(tried), failed, ended, wrong)


def _wrong_answer(outcome: Outcome, point: Point) -> str:
    """What is wrong with an exit status and what was printed; empty for nothing."""
    if outcome.status == 0:
        return ""
    if _is_unheard(outcome) and point.call == "write":
        return ""  # the answer could not be written, and stderr says so
    if _is_ended(outcome, point):
        return ""  # a DEL has to clean, and leave nothing
    if outcome.status == -signal.SIGTERM and not outcome.stdout:
        return "" if point.number == 1 else "SIGTERM ended it without a word"
    try:
        document = json.loads(outcome.stdout)
    except ValueError:
        return f"exit status {outcome.status} with {outcome.stdout!r}, {outcome.stderr[-900:]!r}"
    if outcome.status != 1 or not document.get("code") or not document.get("msg"):
        return f"exit status {outcome.status} with {document}"
    if b"Traceback" in outcome.stderr:
        return f"{document}, and a traceback: {outcome.stderr[-900:].decode()}"
    return ""


def _judge_add(world: World, outcome: Outcome, before: State) -> str:
    """What is wrong with what an ADD has left; all is cleaned where nothing is."""
    try:
        if outcome.status == 0:
            world.added(outcome.stdout)
            _check(world)
        else:
            left = [] if _is_unheard(outcome) else world.left(before)
            if left:
                return f"not undone, {outcome.stdout!r}: {left}"
        world.delete()
    except PluginError as error:
        return f"exit status {outcome.status}, then {error}; {outcome.stdout!r}"
    left = world.left()
    return f"exit status {outcome.status}, and left after DEL: {left}" if left else ""


_OLDER = re.compile(r"chain CNI-DN-\w+ of the iptables table nat lacks `[^`;]* -j DNAT --to-dest")


def _check(world: World) -> None:
    """CHECK, which may find that a DNAT was laid down by an older revision of its extension.

    iptables-restore says nothing when it could not ask the kernel for the newer. Only CHECK does.
    """
    try:
        world.check()
    except PluginError as error:
        if world.chain.name != "portmap, iptables" or not _OLDER.search(str(error)):
            raise


def _is_unheard(outcome: Outcome) -> bool:
    """The answer could not be written, and what was done has been taken back by the plugin's DEL.

    That leaves to the DEL of the plugin before it what goes with its interface.
    """
    return outcome.status == 1 and not outcome.stdout


_LAST_WORDS = re.compile(
    rb"nf_tables kernel ABI is broken, contact your vendor\.\n\w+\.c:\d+ reason: [^\n]+\n"
)


def _is_ended(outcome: Outcome, point: Point) -> bool:
    """libnftables, of an answer that it could not get, has ended the process that it is in."""
    said = _LAST_WORDS.fullmatch(outcome.stderr)
    return point.call == "recvmsg" and outcome.status == 1 and not outcome.stdout and bool(said)


def _judge_delete(world: World, outcome: Outcome, _: State) -> str:
    """What is wrong with what a DEL has left."""
    try:
        world.delete(from_number=world.last - 1 if outcome.status == 0 else world.last)
    except PluginError as error:
        return f"exit status {outcome.status}, then {error}; {outcome.stdout!r}"
    left = world.left()
    return f"exit status {outcome.status}, {outcome.stdout!r}, and left: {left}" if left else ""
