"""`cnitool heal`: once, and for people and programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.heal.conftest import Container, World
from tests.kit.tool import cnitool


@pytest.fixture
def one(world: World, monkeypatch: pytest.MonkeyPatch) -> Container:
    monkeypatch.setenv("CNI_PATH", str(world.runtime.path))
    return world.container()


def heal(world: World, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str, str]:
    """Run it; exit status, stdout and stderr."""
    status = cnitool(["heal", f"--cache-dir={world.cache.directory}", *more])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_for_people(world: World, one: Container, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = 0, "1 attachments run, none has lost anything\n", ""
    assert heal(world, capsys) == nothing
    world.flush()
    status, out, err = heal(world, capsys, "--dry-run")
    assert (status, err) == (0, "")
    first, last = out.splitlines()
    assert first.startswith("net c1 eth0: bridge, portmap, firewall: lay down the nftables table")
    assert last == "1 attachments run, 1 had lost something and would get it back"
    assert world.ruleset() == ""
    assert heal(world, capsys, "other")[1] == "0 attachments run, none has lost anything\n"
    assert heal(world, capsys, "net")[1].endswith("1 had lost something and have it again\n")
    assert heal(world, capsys) == nothing
    one.check()


def test_for_programs(world: World, one: Container, capsys: pytest.CaptureFixture[str]) -> None:
    torn = Path(world.cache.results, "torn")
    torn.write_text("{")
    world.flush()
    status, out, _ = heal(world, capsys, "--json")
    torn.unlink()
    found = json.loads(out)
    (healed,) = found.pop("healed")
    (problem,) = found.pop("problems")
    assert status == 1
    assert str(torn) in problem
    assert found.pop("seconds") > 0
    assert found == {"dryRun": False, "running": 1, "gone": 0}
    assert healed.pop("acts")
    assert healed == {
        "network": "net",
        "containerID": "c1",
        "ifname": "eth0",
        "plugins": ["bridge", "portmap", "firewall"],
    }
    one.check()


def test_where_the_plugins_are_others(
    world: World, one: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    (world.runtime.path / "cnid").unlink()
    status, _, err = heal(world, capsys)
    assert status == 1
    assert f"CNI_PATH: found cnid in none of {world.runtime.path}" in err
    del one
