"""Fixtures of the cnitool tests: the tool as a process over fake plugins, and a real network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cnitool.attached import PLUGINS, Network
from tests.kit.host import Host
from tests.libcni.fakes import Fakes, result

ROOT = Path(__file__).parent.parent.parent


class Tool:
    """`cnitool` with a directory of configurations and fake plugins."""

    def __init__(self, directory: Path) -> None:
        self.fakes = Fakes(directory)
        self.conf_dir = directory / "net.d"
        self.conf_dir.mkdir()
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "CNI_PATH": str(self.fakes.directory),
            "NETCONFPATH": str(self.conf_dir),
            "TZ": "UTC",
        }

    def argv(self, *args: str) -> list[str]:
        if args and not args[0].startswith("-"):
            args = (*args, "--cache-dir", str(self.fakes.cache))
        return [sys.executable, "-m", "cnitool", *args]

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*args),
            env=self.env | env,
            cwd="/",
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )

    def succeed(self, *args: str, **env: str) -> str:
        done = self.run(*args, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fail(self, *args: str, **env: str) -> str:
        """What it says on stderr; nothing else and no success."""
        done = self.run(*args, **env)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Traceback" not in done.stderr
        return done.stderr

    def network(self, *plugins: str | dict[str, Any], file: str = "", **keys: Any) -> Path:
        """Write a network's file."""
        document = {
            "cniVersion": "1.1.0",
            "name": "net",
            "plugins": [{"type": one} if isinstance(one, str) else one for one in plugins],
        } | keys
        path = self.conf_dir / (file or f"10-{document['name']}.conflist")
        path.write_text(json.dumps(document))
        return path

    def plugin(self, name: str, version: str = "1.1.0", address: str = "10.1.2.3/24") -> None:
        self.fakes.plugin(name)
        self.fakes.answer(name, "ADD", result(version, address))


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path)


@pytest.fixture
def network(host: Host, tmp_path: Path) -> Iterator[Network]:
    """PLUGINS' network on a throwaway host, without containers yet."""
    host.share_bridge("cni0")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *")
    made = Network(tmp_path, host, PLUGINS)
    yield made
    if "cni0" in host.links():
        host.command("ip", "link", "delete", "cni0")
