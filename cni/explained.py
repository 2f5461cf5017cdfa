"""What an ADD would do, as data: for `Plugin.explain`, which no verb of the protocol uses."""

from __future__ import annotations

from cni.record import record
from cni.result import Result

MAKES, USES, SETS, KEEPS, TAKES, ASKS = "makes", "uses", "sets", "keeps", "takes", "asks"
"""What a step does: something new; what is there; a value, or one that is right already; an
address; somebody else."""


@record
class Step:
    """does: one of the words above. kind, name: what to: `bridge`, `cni0`. why: empty, or how it
    is chosen, made, or known."""

    does: str
    kind: str
    name: str
    why: str = ""


@record
class Explained:
    """steps: in their order. result: what ADD would answer, as far as it can be known; links whose
    names come with the container have the name `UNNAMED`."""

    steps: tuple[Step, ...] = ()
    result: Result = Result()


UNNAMED = "veth?"
"""The host's end of a pair where no container is known, from whose id its name is made."""
