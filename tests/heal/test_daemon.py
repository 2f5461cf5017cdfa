"""The process of `cnid` that heals: soon after damage, and not for what is no damage."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cnid.daemon import SECONDS, Daemon, cnid, wait_until
from tests.heal.conftest import Container, World
from tests.heal.daemon import Healing, Place

LIMIT = 20.0
"""Seconds, of a machine that does other things at the same time."""


@pytest.fixture
def one(world: World) -> Container:
    return world.container()


@pytest.fixture
def daemon(world: World, one: Container, tmp_path: Path) -> Iterator[Healing]:
    with Healing(world, tmp_path) as made:
        yield made


def test_it_heals_within_moments(world: World, one: Container, daemon: Healing) -> None:
    before, links = world.ruleset(), one.links()
    for count, command in enumerate(
        (
            "flush ruleset",
            "delete table inet pycni_masquerade",
            "flush chain inet pycni_portmap prerouting",
            f"delete element inet pycni_firewall containers4 {{ {one.address} }}",
        ),
        1,
    ):
        start = time.monotonic()
        world.nft(command)
        line = daemon.healed(count)[-1]
        assert time.monotonic() - start < LIMIT
        assert world.ruleset() == before, command
        assert (line["attachments"], line["running"]) == (1, 1)
        assert line["why"] == "rules were changed by nft"
    assert one.links() == links
    assert one.is_published()
    state = daemon.heal()
    assert (state["healed"], state["problems"], state["running"]) == (4, 0, 1)


def test_what_another_suite_was_deleting_is_taken_back(
    world: World, one: Container, daemon: Healing
) -> None:
    """It sets no sign, and takes the rules first and the link last; one beside it keeps its own."""
    other = world.container()
    world.nft("flush ruleset")
    assert daemon.healed()[-1]["attachments"] == 2
    assert one.is_published()
    ends = [each["name"] for each in one.result["interfaces"] if each["name"].startswith("veth")]
    world.host.command("ip", "link", "delete", *ends)
    wait_until(lambda: "net/c1/eth0" not in world.ruleset())
    assert "net/c2/eth0" in world.ruleset()
    assert other.is_published()


def test_containers_that_come_and_go_make_no_work(
    world: World, one: Container, daemon: Healing
) -> None:
    """This process has the daemon's name, as its workers and cold plugins have."""
    looks = daemon.heal()["looks"]
    for _ in range(3):
        world.container().delete()
    world.nft("delete table inet pycni_portmap")
    daemon.wait_looks(looks + 1)
    # One for the table; and one where what was announced of it was read in two parts.
    assert daemon.heal()["looks"] <= looks + 2
    one.check()


def test_others_tables_make_no_work(world: World, daemon: Healing) -> None:
    looks = daemon.heal()["looks"]
    for number in range(5):
        world.nft("add table inet mine")
        world.nft(f"add chain inet mine chain{number}")
        world.nft("delete table inet mine")
    world.nft("delete table inet pycni_portmap")
    daemon.wait_looks(looks + 1)
    assert daemon.heal()["looks"] <= looks + 2


def test_flushed_again_and_again(world: World, one: Container, daemon: Healing) -> None:
    before = world.ruleset()
    for _ in range(10):
        world.flush()
    daemon.healed()
    wait_until(lambda: world.ruleset() == before)
    one.check()


def test_killed_it_comes_back_and_looks(world: World, one: Container, daemon: Healing) -> None:
    before = world.ruleset()
    pid = daemon.heal()["pid"]
    end = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([end], [], [], SECONDS)[0]
    os.close(end)
    world.flush()
    daemon.healed()
    assert world.ruleset() == before
    assert daemon.heal()["starts"] == 2
    one.check()


def test_it_ends_with_the_daemon(world: World, daemon: Healing) -> None:
    end = os.pidfd_open(daemon.heal()["pid"])
    daemon.kill()
    assert select.select([end], [], [], SECONDS)[0]
    os.close(end)
    world.flush()


def test_what_cannot_be_healed_is_told_once(world: World, one: Container, daemon: Healing) -> None:
    entry = Path(world.cache.results, "torn")
    entry.write_text("{")
    world.flush()
    (line,) = daemon.wait_for(lambda line: line["msg"] == "not healed")
    assert str(entry) in line["error"]
    wait_until(lambda: daemon.heal()["problems"] == 1)  # which is told after it is logged
    entry.unlink()
    wait_until(lambda: daemon.heal()["problems"] == 0)
    one.check()


def test_it_can_be_switched_off(world: World, one: Container, tmp_path: Path) -> None:
    place = Place(tmp_path)
    with Daemon(place, "--workers=1", "--conf-dir=", "--cache-dir=") as daemon:
        assert daemon.status()["heal"]["wanted"] is False
        shown = cnid(place, "status")
        assert "heal:" not in shown.stdout
    del one
