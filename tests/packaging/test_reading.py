"""The page for readers names what a call really runs, and is no longer than it says."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.packaging.cold import ROOT, ROOTS, Caller

PAGE = ROOT / "docs" / "reading.md"
WALKS, REST = PAGE.read_text().split("## What the call loads beside these")


def walked() -> list[Path]:
    """The files that the walks' tables link to."""
    rows = [line for line in WALKS.splitlines() if line.startswith("| [")]
    links = re.findall(r"\]\(([^)]+)\)", "\n".join(rows))
    return [(PAGE.parent / link).resolve() for link in links]


def beside() -> set[str]:
    """The modules that the last list names."""
    found = set()
    for line in REST.splitlines():
        if line.startswith("- "):
            package, _, names = line.partition(":")
            found |= {f"{package.strip('- `')}.{name}" for name in re.findall(r"`(\w+)`", names)}
    return found


def module_of(file: Path) -> str:
    """The name that a file of the tree is imported by."""
    root = max((one for one in ROOTS if file.is_relative_to(one)), key=lambda one: len(one.parts))
    return ".".join(file.relative_to(root).with_suffix("").parts)


def test_every_module_of_the_call_is_on_the_page(
    executables: Path, roots: list[Path], host: Host, container: Namespace
) -> None:
    host.share_bridge("reading0")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *", "link lo *", "address dev lo *", "route * dev lo *")
    caller = Caller("bridge", executables, roots, container, "eth0")
    document = {
        "cniVersion": "1.1.0",
        "name": "reading",
        "type": "bridge",
        "bridge": "reading0",
        "isGateway": True,
        "ipMasq": True,
        "ipMasqBackend": "nftables",
        "ipam": {
            "type": "host-local",
            "dataDir": str(host.state / "networks"),
            "subnet": "10.1.0.0/24",
        },
    }
    loaded = {module for module, _ in caller.call("ADD", document)}
    caller.call("DEL", document)
    ours = {
        module
        for module in loaded
        if "." in module and module.startswith(("cni", "hostnet.", "wiring."))
    }
    named = {module_of(file) for file in walked()} | beside()
    assert ours - named == set()
    assert beside() - ours == set()


def test_the_walks_are_as_short_as_they_say() -> None:
    lines = sum(len(file.read_text().splitlines()) for file in walked())
    assert 5500 < lines < 6000
