"""Load: many containers' calls at once, as a node has them that starts after a power cut."""

from __future__ import annotations

import json
import select
import time
from collections import Counter
from collections.abc import Sequence

from bench.attachment import Attachment, bridge, portmap
from bench.cases import Bar, Row
from bench.field import REFERENCE, WARM, Suite
from bench.process import Call, Process, Timed
from tests.kit.namespace import Namespace

_FIRST_PORT = 20000


def load(suites: Sequence[Suite], containers: Sequence[Namespace]) -> list[Row]:
    """ADD all the containers at once, then DEL them, for one suite after the other.

    Raises RuntimeError where a call fails, an address is given twice, or one is left.
    """
    bars = {WARM: Bar(0.1, REFERENCE)}
    case = f"{len(containers)} at once"
    rows = {verb: Row(case, verb, bars) for verb in ("ADD", "DEL")}
    for suite in suites:
        attachments = [
            Attachment(
                suite,
                [bridge(suite, True), portmap(_FIRST_PORT + number)],
                f"load{number}",
                netns=container.path,
            )
            for number, container in enumerate(containers)
        ]
        suite.host.enter()
        timed, outputs = _at_once(attachments, "ADD")
        rows["ADD"].timed[suite.name] = [timed]
        addresses = Counter(json.loads(one)["ips"][0]["address"] for one in outputs)
        if len(addresses) != len(containers):
            raise RuntimeError(f"{suite.name}: given twice: {addresses.most_common(3)}")
        timed, _ = _at_once(attachments, "DEL")
        rows["DEL"].timed[suite.name] = [timed]
        if left := list((suite.state / "networks").rglob("10.88.*")):
            raise RuntimeError(f"{suite.name}: {len(left)} addresses left")
    return list(rows.values())


def _at_once(attachments: Sequence[Attachment], verb: str) -> tuple[Timed, list[bytes]]:
    """Each one's calls in their order, all of them side by side; gives the last answers too."""
    suite = attachments[0].suite
    cpu = -suite.cpu()
    outputs: list[bytes] = []
    waiting = select.poll()
    began = time.perf_counter()
    under_way = {}
    for one in attachments:
        calls = one.calls(verb)
        first = Process(next(calls))
        under_way[first.output] = (one, calls, first)
        waiting.register(first.output, select.POLLIN)
    while under_way:
        for fd, _ in waiting.poll():
            waiting.unregister(fd)
            one, calls, process = under_way.pop(fd)
            timed = process.end()
            cpu += timed.cpu
            one.heard(verb, timed.output)
            following: Call | None = next(calls, None)
            if following is None:
                outputs.append(timed.output)
                continue
            process = Process(following)
            under_way[process.output] = (one, calls, process)
            waiting.register(process.output, select.POLLIN)
    wall = time.perf_counter() - began
    return Timed(wall, cpu + suite.cpu(), b""), outputs
