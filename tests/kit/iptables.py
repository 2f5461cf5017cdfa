"""The two iptables of a Debian host, one of them made the host's own for a test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hostnet import spawn
from tests.kit.host import Host

VARIANTS = ("nft", "legacy")
REFERENCE = Path("/usr/lib/cni")


class HostTables:
    """iptables as a test's host has it: `iptables` is the one of the two that was asked for."""

    def __init__(self, host: Host, directory: Path, variant: str) -> None:
        self.host = host
        self.variant = variant
        self.path = directory / "sbin"
        self.path.mkdir()
        for family in ("iptables", "ip6tables"):
            for suffix in ("", "-save", "-restore"):
                found = shutil.which(f"{family}-{variant}{suffix}")
                assert found, f"{family}-{variant}{suffix} is missing"
                (self.path / f"{family}{suffix}").symlink_to(os.path.realpath(found))

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spawn, "DIRECTORIES", (str(self.path), *spawn.DIRECTORIES))

    def run(self, *args: str, version: int = 4) -> None:
        """`iptables ARGS`, or ip6tables."""
        self.host.command(str(self.path / ("iptables" if version == 4 else "ip6tables")), *args)

    def rules(self, version: int = 4, variant: str = "") -> list[str]:
        """What iptables-save prints of rules and of chains that are not the kernel's."""
        family = "iptables" if version == 4 else "ip6tables"
        text = self.host.command(f"{family}-{variant or self.variant}-save").stdout
        lines = text.splitlines()
        return [one for one in lines if one.startswith(("-", ":")) and " ACCEPT [" not in one]

    def chain(self, name: str, version: int = 4) -> list[str]:
        """The rules of a chain, of whatever table."""
        return [one for one in self.rules(version) if one.startswith(f"-A {name} ")]

    def of_cni(self) -> list[str]:
        """All that is there of CNI's, of both versions and both iptables."""
        return [
            one
            for version in (4, 6)
            for variant in VARIANTS
            for one in self.rules(version, variant)
            if "CNI-" in one
        ]

    def reference(self, verb: str, config: dict[str, Any], netns: str, ifname: str = "eth0") -> Any:
        """Call the reference's plugin (Debian's, in /usr/lib/cni) in the host; its result."""
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": config.get("_container", "c1"),
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_PATH": str(REFERENCE),
            "PATH": f"{self.path}:/usr/sbin:/usr/bin:/sbin:/bin",
        }
        document = {key: value for key, value in config.items() if key != "_container"}
        done = subprocess.run(
            [REFERENCE / config["type"]],
            input=json.dumps(document),
            env=environ,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"{verb}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout else None


def share(host: Host) -> None:
    """Let the tables and chains of the kernel's own names stay, and those that are shared."""
    for family in ("ip", "ip6"):
        for table in ("nat", "filter", "raw"):
            host.share(f"nft table {family} {table}")
            for chain in ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"):
                host.share(f"nft chain {family} {table} {chain}")
