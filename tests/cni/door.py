"""The door in this process: what a caller sees of it, checked for what must hold always."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from cni.bundle import Bundle
from cni.call import Call
from cni.result import Result
from cni.skel import Plugin, serve
from tests.cni.calls import Environment
from tests.cni.samples import SINGLE_STACK

Verb = Callable[[Call], None]
PRINTING = ("ADD", "VERSION")


class Answer(NamedTuple):
    """What a caller sees. document: None where stdout is empty."""

    status: int
    document: Any

    @property
    def error(self) -> dict[str, Any]:
        """The error document of a call that failed."""
        assert self.status == 1
        found: dict[str, Any] = self.document
        return found


def nothing(call: Call) -> None:
    """A verb that has nothing to do."""


def plugin(
    add: Callable[[Call], Result] = lambda _: SINGLE_STACK,
    delete: Verb = nothing,
    check: Verb = nothing,
    gc: Verb | None = nothing,
    status: Verb | None = nothing,
) -> Plugin:
    """A plugin whose verbs succeed, but for those given."""
    return Plugin("test", "CNI test plugin, for tests", add, delete, check, gc, status)


def bundle(served: Plugin) -> Bundle:
    """A bundle of that plugin alone."""
    return Bundle({served.name: lambda: served}, "/nowhere/pycni")


def ask(served: Plugin, environ: Environment, stdin: bytes | BinaryIO) -> Answer:
    """Serve a call and check what holds for every answer."""
    given = io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin
    stdout = io.BytesIO()
    status = serve(served.name, bundle(served), environ, given, stdout)
    return judged(status, stdout.getvalue(), environ.get("CNI_COMMAND", ""))


def judged(status: int, stdout: bytes, command: str) -> Answer:
    """What holds for every answer: one document or nothing, and the status that goes with it."""
    document: Any = json.loads(stdout) if stdout else None
    assert stdout.count(b"\n") == (1 if stdout else 0)
    assert stdout.isascii()
    if status == 0:
        assert (document is not None) == (command in PRINTING)
        assert not stdout or "code" not in document
    else:
        assert status == 1
        assert set(document) <= {"cniVersion", "code", "msg", "details"}
        assert isinstance(document["code"], int)
        assert document["code"] > 0
        assert document["msg"]
        assert "Traceback" not in document["msg"]
    assert document is None or document["cniVersion"]
    return Answer(status, document)
