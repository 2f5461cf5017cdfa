"""What runs in the machine whose power is cut: it looks at what it finds, then goes on.

`python -m tests.reliability.power.machine SEED [TOLD]`, with the disk at /var/lib/cni. Each line on
stdout is a word and a JSON document:

    boot     the kernel's boot id
    found    what is wrong with the files, held against TOLD, what the former run has told
    use      what is wrong with how the plugins go on; the disk is as good as empty then
    told     before and after each verb of the stream, which goes on until the machine is killed
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import asdict
from pathlib import Path

from tests.kit.calls import Runtime
from tests.kit.namespace import Namespace
from tests.reliability.power import found
from tests.reliability.power.stream import Stream, Told

_CALLS = 100_000  # more than anybody waits for


def _say(word: str, document: object) -> None:
    print(f"{word} {json.dumps(document)}", flush=True)  # noqa: T201 - it is what the test reads


def _tell(told: Told) -> None:
    _say("told", {**asdict(told), "gone": sorted(told.gone)})


def read_told(document: dict[str, object]) -> Told:
    """The document of a `told` line."""
    there, gone, asked = (document[key] for key in ("there", "gone", "asked"))
    assert isinstance(there, dict)
    assert isinstance(gone, list)
    return Told(there, set(gone), str(asked))


def _stream(directory: Path, tell: bool) -> Stream:
    own = directory / ("stream" if tell else "use")
    own.mkdir()
    namespaces: dict[str, Namespace] = {}

    def netns_of(container: str) -> Namespace:
        if container in namespaces:
            namespaces.pop(container).close()
        return namespaces.setdefault(container, Namespace(own / container))

    plugin = {"type": "bridge", "bridge": "power0", "isGateway": True}
    return Stream(
        Runtime(own), netns_of, Path("/var/lib/cni"), plugin, _tell if tell else lambda _: None
    )


def main(seed: int, before: str) -> None:
    """Look, use, and go on."""
    directory = Path("/tmp/machine")
    directory.mkdir()
    _say("boot", Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    if before:
        told = read_told(json.loads(before))
        stream = _stream(directory, tell=False)
        _say("found", found.problems(stream, told))
        _say("use", found.use(stream, told, rebooted=True))
    _stream(directory, tell=True).run(_CALLS, random.Random(seed))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
