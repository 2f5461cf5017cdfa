"""Plugins for tests: POSIX shell scripts that record what they are sent and answer as told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from libcni import CachedAttachment, NetworkConfigList, Runtime, network_from_bytes

# Each call becomes a folder; mkdir is the counter, being atomic.
SCRIPT = """#!/bin/sh
set -eu
here=$(dirname "$0")
type=$(basename "$0")
number=100
until mkdir "$here/calls/$number" 2>/dev/null; do number=$((number + 1)); done
call="$here/calls/$number"
cat >"$call/stdin"
env >"$call/env"
echo "$type" >"$call/type"
answer="$here/answers/$type.$CNI_COMMAND"
[ ! -e "$answer.err" ] || cat "$answer.err" >&2
[ ! -e "$answer.out" ] || cat "$answer.out"
[ ! -e "$answer.exit" ] || exit "$(cat "$answer.exit")"
"""

ALL_VERSIONS = '["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]'


class Call(NamedTuple):
    """What a plugin was sent."""

    type: str
    command: str
    env: dict[str, str]
    stdin: bytes

    @property
    def config(self) -> dict[str, Any]:
        config = json.loads(self.stdin)
        assert isinstance(config, dict)
        return config

    @property
    def cni(self) -> dict[str, str]:
        """The variables of the protocol."""
        return {key: value for key, value in self.env.items() if key.startswith("CNI_")}


class Fakes:
    """A directory of fake plugins, and a runtime that finds them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "plugins"
        self.cache = directory / "cache"
        for name in ("calls", "answers"):
            (self.directory / name).mkdir(parents=True)
        self.runtime = Runtime([str(self.directory)], str(self.cache), timeout=20)

    def plugin(self, name: str, script: str = SCRIPT) -> None:
        path = self.directory / name
        path.write_text(script)
        path.chmod(0o755)
        self.answer(name, "VERSION", f'{{"cniVersion":"1.1.0","supportedVersions":{ALL_VERSIONS}}}')

    def answer(
        self,
        name: str,
        command: str,
        out: str | dict[str, Any] = "",
        err: str = "",
        status: int = 0,
    ) -> None:
        """What the plugin does from now on."""
        stem = self.directory / "answers" / f"{name}.{command}"
        Path(f"{stem}.out").write_text(out if isinstance(out, str) else json.dumps(out))
        Path(f"{stem}.err").write_text(err)
        Path(f"{stem}.exit").write_text(str(status))

    def fail(self, name: str, command: str, msg: str, code: int = 999, details: str = "") -> None:
        document = {"cniVersion": "1.0.0", "code": code, "msg": msg, "details": details}
        self.answer(name, command, document, status=1)

    def calls(self, *commands: str) -> list[Call]:
        """Every call so far in order, or those of some verbs."""
        found = []
        for folder in sorted((self.directory / "calls").iterdir()):
            env = dict(line.split("=", 1) for line in (folder / "env").read_text().splitlines())
            call = Call(
                (folder / "type").read_text().strip(),
                env["CNI_COMMAND"],
                env,
                (folder / "stdin").read_bytes(),
            )
            if not commands or call.command in commands:
                found.append(call)
        return found

    def order(self, *commands: str) -> list[tuple[str, str]]:
        return [(call.command, call.type) for call in self.calls(*commands)]

    def cached(self) -> list[CachedAttachment]:
        return self.runtime.attachments()


def result(version: str, address: str = "10.1.2.3/24") -> dict[str, Any]:
    """A result as a plugin of that version prints it, with a key that nobody knows."""
    if version in ("0.1.0", "0.2.0"):
        return {
            "cniVersion": version,
            "ip4": {"ip": address, "gateway": "10.1.2.1", "routes": [{"dst": "0.0.0.0/0"}]},
            "unknown": 1,
        }
    ip: dict[str, Any] = {"address": address, "gateway": "10.1.2.1", "interface": 0}
    if version.startswith("0."):
        ip["version"] = "4"
    return {
        "cniVersion": version,
        "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/c"}],
        "ips": [ip],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}],
        "unknown": 1,
    }


def network(
    *plugins: str | dict[str, Any], version: str = "1.1.0", **keys: Any
) -> NetworkConfigList:
    """A network of plugins, each a type or a whole configuration."""
    listed = [{"type": one} if isinstance(one, str) else one for one in plugins]
    document = {"name": "net", "cniVersion": version, "plugins": listed} | keys
    return network_from_bytes(json.dumps(document).encode())
