"""`cnitool explain`: the plan on stdout, for people or as JSON."""

from __future__ import annotations

import sys

from cni.errors import INVALID_ENVIRONMENT, CniError
from cni.explained import UNNAMED
from cni.names import name_problem
from cni.result import Result
from cnitool.explain import chain
from libcni.gojson import pretty
from libcni.invoke import write_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue
    from cnitool.explain.chain import Part
    from cnitool.settings import Settings


def run(settings: Settings, name: str, container: str, *, as_json: bool) -> int:
    """Tell what ADD would do; 1 where it would fail. Raises CniError for a network that is not."""
    if container and (problem := name_problem(container)):
        raise CniError(INVALID_ENVIRONMENT, f"--container: {problem}")
    network = settings.network(name)
    found: list[Part] = []
    result = Result()
    for part, answered in chain.parts(settings, network, container):
        found.append(part)
        result = answered
    failed = any(part.problem for part in found)
    if as_json:
        document: dict[str, JsonValue] = {
            "network": network.name,
            "plugins": [_document(part) for part in found],
            "result": None if failed else write_result(result, network.version),
        }
        sys.stdout.write(pretty(document) + "\n")
    else:
        _show(network.name, found, result)
    return 1 if failed else 0


def _document(part: Part) -> JsonValue:
    steps: list[JsonValue] = [
        {"does": one.does, "kind": one.kind, "name": one.name, "why": one.why} for one in part.steps
    ]
    made: dict[str, JsonValue] = {"plugin": part.plugin, "steps": steps}
    return {**made, "problem": part.problem} if part.problem else made


def _show(name: str, found: list[Part], result: Result) -> None:
    out = sys.stdout
    out.write(f'ADD of a container to network "{name}" would do this; nothing of it is done:\n')
    for part in found:
        out.write(f"\n{part.plugin}\n")
        for one in part.steps:
            why = f"  ({one.why})" if one.why else ""
            out.write(f"  {one.does} {one.kind} {one.name}{why}\n")
        if part.problem:
            out.write(f"  fails: {part.problem}\n")
    if any(one.name == UNNAMED for one in result.interfaces):
        out.write(
            f"\n{UNNAMED} stands for the host's end: its name follows from the container "
            "(--container ID)\n"
        )
