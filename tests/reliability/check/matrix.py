"""ADD, CHECK, and then one mutation after the other: each must fail CHECK, and be named by it.

A `Stage` is one container attached through libcni. A `Mutation` is what somebody does to it with
ip(8), nft(8) and the like, and the words by which CHECK has to name it; afterwards it is taken back
or the container attached anew, and CHECK has to pass again. So one ADD serves a whole table.

In commands `$port` stands for the container's host end, and for what else a stage has `names` for.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

import libcni
from cni.errors import CHECK_FAILED, CniError
from tests.kit import calls, tables
from tests.kit.contract import MUTATIONS
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.reliability.check.served import ServedRuntime
from wiring.veth import host_veth

HEADINGS = ("what is done", "where", "what CHECK says", "the reference")
ADDRESSES = ["10.1.0.2/16", "2001:db8::2/64"]
MAC = "02:00:00:00:00:42"


AGAIN = "DEL and ADD"
"""A line of a mend, and all of it where nothing else is said."""
_BEFORE = re.compile(r'^plugin type="[^"]*" name="net" failed \(check\): ')
RULESET = "nft -f $ruleset"
"""A mend: the nftables as they were after ADD, which takes less time than a DEL and an ADD."""


@dataclass(frozen=True)
class Mutation:
    """commands: one a line. words: of CHECK's error. mend: the commands that take it back, or AGAIN
    among them. missed: the reference suite's CHECK passes (docs/reliability.md).
    code: of the error.
    """

    where: str
    commands: str
    words: str
    mend: str = ""
    missed: bool = False
    code: int = CHECK_FAILED


def host(commands: str, words: str, mend: str = "", *, missed: bool = False) -> Mutation:
    """Done on the host."""
    return Mutation("host", commands, words, mend, missed)


def inside(commands: str, words: str, mend: str = "", *, missed: bool = False) -> Mutation:
    """Done in the container."""
    return Mutation("container", commands, words, mend, missed)


_MISSED_INSIDE = ("10.9.9.9/32", "default via 10.1.0.77")


def contained(*impossible: str, measured: bool = False) -> list[Mutation]:
    """The deviations of every container's interface, but those that this kind does not take.

    measured: whether the reference's plugin was tried with them.
    """
    found = []
    for commands, words in MUTATIONS.items():
        if any(one in commands for one in impossible):
            continue
        first = "ip link set eth0 down\n" if " name " in commands else ""
        missed = measured and any(one in commands for one in _MISSED_INSIDE)
        found.append(inside(first + commands, words, missed=missed))
    return found


class Stage:
    """A container on a network, attached.

    plugins: of the network. capability_args: of the attachment. names: what commands may name.
    acts: lines that are no commands, and what is called instead.
    """

    def __init__(
        self,
        host: Host,
        runtime: calls.Runtime,
        plugins: Sequence[Mapping[str, Any]],
        *,
        ifname: str = "eth0",
        capability_args: Mapping[str, Any] | None = None,
        names: Mapping[str, object] | None = None,
        acts: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        self._ruleset = host.state.parent / "ruleset"
        document = {"cniVersion": "1.1.0", "name": "net", "plugins": list(plugins)}
        self.host = host
        self.acts = acts or {}
        self.container = host.container()
        self.network = libcni.network_from_bytes(json.dumps(document).encode())
        self.runtime = ServedRuntime(runtime, host.state / "cache")
        self.attachment = libcni.Attachment(
            "c1", str(self.container), ifname, capability_args=capability_args or {}
        )
        self.names: dict[str, str] = {
            "port": host_veth(f"net/c1/{ifname}"),
            "netns": str(self.container),
            "state": str(host.state),
            "ruleset": str(self._ruleset),
            **{name: str(value) for name, value in (names or {}).items()},
        }
        self.attach()
        listed = host.command("nft", "list", "ruleset").stdout
        self._ruleset.write_text(f"flush ruleset\n{listed}")

    def attach(self) -> None:
        self.runtime.add(self.network, self.attachment)

    def detach(self) -> None:
        self.runtime.delete(self.network, self.attachment)

    def check(self) -> CniError | None:
        """What CHECK says, None if it passes."""
        try:
            self.runtime.check(self.network, self.attachment)
        except CniError as error:
            return error
        return None

    def do(self, where: str, commands: str) -> None:
        """Run commands, one a line."""
        place: Namespace = self.host if where == "host" else self.container
        for line in self.told(commands).splitlines():
            if line in self.acts:
                self.acts[line]()
            else:
                place.command(*shlex.split(line))

    def told(self, text: str) -> str:
        """With the names put in."""
        return Template(text).substitute(self.names)

    def shown(self, text: str) -> str:
        """Without the paths of this run, and what libcni says before a plugin's own words."""
        text = text.replace(self.names["netns"], "NETNS").replace(self.names["state"], "DIR")
        text = text.replace(str(self.host.state.parent), "DIR")
        return _BEFORE.sub("", text).replace(' on network "net":', ":")


def run(stage: Stage, mutations: Sequence[Mutation]) -> list[tables.Row]:
    """Try each mutation; a row of the table for each. AssertionError that names all that failed."""
    assert (said := stage.check()) is None, f"CHECK after ADD: {said}"
    rows: list[tables.Row] = []
    wrong: list[str] = []
    for one in mutations:
        done = stage.told(one.commands)
        try:
            stage.do(one.where, one.commands)
        except AssertionError as error:
            wrong.append(f"{done}: {error}")
        found = stage.check()
        words = stage.told(one.words)
        if found is None:
            wrong.append(f"{done}: CHECK passes, expected {words!r}")
        elif words not in found.msg or found.code != one.code:
            wrong.append(f"{done}: CHECK says {found.code} {found.msg!r}, expected {words!r}")
        _mend(stage, one)
        if (said := stage.check()) is not None:
            wrong.append(f"{done}, mended: CHECK says {said.msg!r}")
            stage.detach()
            stage.attach()
        told = "" if found is None else stage.shown(found.msg)
        shown = "; ".join(stage.shown(done).splitlines())
        rows.append((f"`{shown}`", one.where, told, "passes" if one.missed else ""))
    stage.detach()
    assert not wrong, "\n".join([f"{len(wrong)} of {len(mutations)} mutations:", *wrong])
    return rows


def _mend(stage: Stage, one: Mutation) -> None:
    for line in (one.mend or AGAIN).splitlines():
        if line == AGAIN:
            stage.detach()
            stage.attach()
        else:
            stage.do(one.where, line)


__all__ = [
    "ADDRESSES",
    "AGAIN",
    "HEADINGS",
    "MAC",
    "RULESET",
    "Mutation",
    "Stage",
    "contained",
    "host",
    "inside",
    "run",
]
