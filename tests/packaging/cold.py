"""Verbs from source, each in a fresh interpreter that tells what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.kit.namespace import Namespace

ROOT = Path(__file__).resolve().parents[2]
_BINDING = find_spec("nftables")
assert _BINDING
assert _BINDING.origin
ROOTS = [
    ROOT,
    ROOT / "packaging",
    *sorted((ROOT / "plugins").iterdir()),
    Path(_BINDING.origin).parent,
]
PROBE = Path(__file__).with_name("probe.py")


@dataclass
class Caller:
    """Calls one plugin's verbs from source, each in an interpreter of its own."""

    plugin: str
    executables: Path
    roots: list[Path]
    container: Namespace
    ifname: str
    result: Any = None
    may_fail: bool = False

    def call(self, verb: str, document: dict[str, Any]) -> list[tuple[str, str]]:
        """Gives (module, who asked for it), in the order they were loaded."""
        if self.result is not None:
            document = {**document, "prevResult": self.result}
        done = subprocess.run(
            [
                sys.executable, "-I", "-S", PROBE,
                self.plugin, self.executables / self.plugin, *self.roots,
            ],
            input=json.dumps(document),
            env={
                "CNI_COMMAND": verb,
                "CNI_CONTAINERID": "budget",
                "CNI_NETNS": str(self.container),
                "CNI_IFNAME": self.ifname,
                "CNI_PATH": str(self.executables),
            },
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert self.may_fail or done.returncode == 0, f"{verb}: {done.stdout}{done.stderr}"
        if verb == "ADD" and done.returncode == 0:
            self.result = json.loads(done.stdout)
        lines = [one.split() for one in done.stderr.splitlines() if one.startswith("imported ")]
        assert lines, done.stderr
        return [(module, importer) for _, module, _, importer in lines]
