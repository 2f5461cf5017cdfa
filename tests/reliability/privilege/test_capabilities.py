"""Which capabilities each plugin's verbs need: these are enough, and without any of them it fails.

It fails with an error that names the one that is missing, and leaves what it found.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cni_bundle.plugins import PLUGINS
from tests.kit import tables
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.iptables import HostTables
from tests.kit.namespace import Namespace
from tests.reliability.privilege.confined import confined
from tests.reliability.privilege.scenes import CASES, VERBS, Scene

# This kernel has none of the first four's links, which are made as macvlan's is; the last two talk
# to a server, as anybody may.
SAME_AS = {
    "dummy": "macvlan",
    "ipvlan": "macvlan",
    "vlan": "macvlan",
    "vrf": "macvlan",
    "dhcp": "static",
    "etcd-ipam": "static",
}


@pytest.fixture
def scene(
    name: str, host: Host, container: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Scene:
    case = CASES[name]
    host.share("sysctl *", "link *", "address *", "route *", "nft *")
    host.share_locks()
    if case.iptables:
        HostTables(host, tmp_path, case.iptables).install(monkeypatch)
    made = Scene(host, Runtime(tmp_path), container)
    case.prepare(made)
    return made


def call(scene: Scene, verb: str, left: frozenset[str], **keys: Any) -> tuple[str, Document | None]:
    """The error of a call that has no capabilities but these, empty for none, and its result."""

    def act() -> tuple[str, Document | None]:
        try:
            return "", scene.call(verb, **keys)
        except PluginError as error:
            return error.msg, None

    said, result = confined(left, act)
    return said, result


@pytest.mark.parametrize("name", CASES)
def test_each_verb_needs_just_these(name: str, scene: Scene) -> None:
    keys: Document = {}
    for verb, needs in zip(VERBS, CASES[name].needs, strict=True):
        for one in sorted(needs):
            before = _links(scene)
            said, _ = call(scene, verb, needs - {one}, **keys)
            _, _, missing = said.partition("; this process has no ")
            assert one in missing, f"{verb} without {one}: {said or 'done'}"
            assert ": leave it to whoever runs the plugin (CapabilityBoundingSet=" in missing
            assert verb == "DEL" or _links(scene) == before, f"{verb} without {one} left something"
        said, result = call(scene, verb, needs, **keys)
        assert not said, f"{verb} with {sorted(needs)}: {said}"
        if verb == "ADD":
            keys = {"prevResult": result, "cni.dev/valid-attachments": []}


def test_another_users_files_are_named(host: Host, container: Namespace, tmp_path: Path) -> None:
    scene = Scene(host, Runtime(tmp_path), container)
    CASES["host-local"].prepare(scene)
    os.chown(host.state, 4711, 4711)
    host.state.chmod(0o700)
    said, _ = call(scene, "ADD", CASES["bridge"].all)
    assert "Permission denied" in said
    assert "this process has no CAP_DAC_OVERRIDE: leave it" in said


@pytest.mark.parametrize("plugin", PLUGINS)
def test_each_plugin_says_what_it_needs(plugin: str) -> None:
    """What its errors ask for is what was found."""
    said = frozenset(PLUGINS[plugin]().needs)
    found = [case.all for name, case in CASES.items() if name.partition(" by ")[0] == plugin]
    if plugin in SAME_AS:
        found = [CASES[SAME_AS[plugin]].all]
    assert said == frozenset.intersection(*found)


def test_the_table(publish: tables.Publish) -> None:
    def cell(needs: frozenset[str]) -> str:
        return ", ".join(sorted(one.removeprefix("CAP_") for one in needs)) or "none"

    rows = [(name, *map(cell, case.needs)) for name, case in CASES.items()]
    rows += [
        (f"{name} (as {like})", *map(cell, CASES[like].needs)) for name, like in SAME_AS.items()
    ]
    publish("capabilities", ("plugin", *VERBS), sorted(rows))


def _links(scene: Scene) -> tuple[set[str], set[str]]:
    return set(scene.host.links()), set(scene.ns.links())
