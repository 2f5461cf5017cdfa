"""Write golden/VERSION.json anew: what Go's libcni does, as the program beside this file shows it.

Debian's packages golang-go and golang-github-appc-cni-dev (libcni 1.1.2) are enough:
    python -m tests.libcni.golden.capture
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.libcni.fakes import Fakes, result

HERE = Path(__file__).parent
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0")
CAPABILITY_ARGS: dict[str, Any] = {
    "portMappings": [{"hostPort": 80}],
    "bandwidth": {"x": 1},
    "unrelated": [],
}


def document(version: str) -> bytes:
    """A network that shows every rule of what a plugin is sent."""
    first = {
        "type": "first",
        "capabilities": {"portMappings": True, "bandwidth": False, "mac": True},
        "zeta": "<a&b>\u2028é",
        "mtu": 1500.0,
        "ratio": 1.5,
        "runtimeConfig": {"replaced": True},
    }
    second = {
        "type": "second",
        "big": 34359738359,
        "runtimeConfig": {"kept": True},
        "capabilities": {"aliases": True},
        "name": "replaced",
        "cniVersion": "replaced",
    }
    return json.dumps({"name": "net", "cniVersion": version, "plugins": [first, second]}).encode()


def capture(version: str, program: Path, directory: Path) -> dict[str, Any]:
    fakes = Fakes(directory)
    for name in ("first", "second"):
        fakes.plugin(name)
        fakes.answer(name, "ADD", result(version))
    (directory / "net.conflist").write_bytes(document(version))
    done = subprocess.run(
        [
            str(program),
            str(directory / "net.conflist"),
            str(fakes.directory),
            str(fakes.cache),
            json.dumps(CAPABILITY_ARGS),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    calls = [
        {
            "command": call.command,
            "type": call.type,
            "env": {
                key: value.replace(str(fakes.directory), "PLUGINS")
                for key, value in sorted(call.cni.items())
            },
            "stdin": call.stdin.decode(),
        }
        for call in fakes.calls()
    ]
    return {
        "calls": calls,
        "cache": json.loads((fakes.cache / "entry").read_bytes()),
        "printed": json.loads(done.stdout),
        "errors": done.stderr.splitlines(),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "capture"
        environ = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
        subprocess.run(
            ["go", "build", "-o", str(program), str(HERE / "capture.go")], check=True, env=environ
        )
        for version in VERSIONS:
            directory = Path(name) / version
            directory.mkdir()
            text = json.dumps(capture(version, program, directory), indent=1)
            (HERE / f"{version}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
