"""`cnitool list`: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cnitool.conftest import Tool

NETNS = "/run/netns/nope"


@pytest.fixture
def attached(tool: Tool, tmp_path: Path) -> Tool:
    tool.plugin("one")
    tool.plugin("two", address="10.7.7.7/24")
    tool.network("one", {"type": "two", "capabilities": {"mac": True}})
    tool.network("one", name="other", cniVersion="0.4.0")
    (tmp_path / "netns").touch()
    tool.succeed("add", "net", NETNS)
    tool.succeed("add", "other", str(tmp_path / "netns"), "-i", "net1")
    for number, path in enumerate(sorted((tool.fakes.cache / "results").iterdir())):
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
    return tool


def test_for_people(attached: Tool, tmp_path: Path) -> None:
    text = attached.succeed("list")
    rows = [line.split() for line in text.splitlines()]
    assert ["net", "1.1.0", "one", ">", "two", "10-net.conflist"] in rows
    assert ["other", "0.4.0", "one", "10-other.conflist"] in rows
    when = ["2023-11-14", "22:13:20"]
    net, other = (row for row in rows if len(row) > 1 and row[1].startswith("cnitool-"))
    assert net == [
        "net", "cnitool-70bfdfa0e19cefe8c695", "eth0", "10.7.7.7/24", *when, NETNS, "(gone)",
    ]  # fmt: skip
    assert other[0] == "other"
    assert other[2:4] == ["net1", "10.1.2.3/24"]
    assert other[-1] == str(tmp_path / "netns")
    assert "\x1b" not in text


def test_for_programs(attached: Tool, tmp_path: Path) -> None:
    document = json.loads(attached.succeed("list", "net", "--json"))
    assert document == {
        "networks": [
            {
                "name": "net",
                "cniVersion": "1.1.0",
                "plugins": ["one", "two"],
                "capabilities": ["mac"],
                "file": str(attached.conf_dir / "10-net.conflist"),
            }
        ],
        "attachments": [
            {
                "network": "net",
                "containerID": "cnitool-70bfdfa0e19cefe8c695",
                "ifname": "eth0",
                "addresses": ["10.7.7.7/24"],
                "since": "2023-11-14T22:13:20Z",
                "netns": NETNS,
                "netnsExists": False,
                "file": str(
                    attached.fakes.cache / "results" / "net-cnitool-70bfdfa0e19cefe8c695-eth0"
                ),
            }
        ],
        "problems": [],
    }
    everything = json.loads(attached.succeed("list", "--json"))
    assert len(everything["networks"]) == len(everything["attachments"]) == 2
    assert everything["attachments"][1]["netnsExists"] is True


def test_broken_files_are_named(attached: Tool) -> None:
    (attached.conf_dir / "00.conflist").write_text("{")
    (attached.fakes.cache / "results" / "net-torn-eth0").write_bytes(b"")
    done = attached.run("list")
    assert done.returncode == 0
    assert "00.conflist is not JSON" in done.stderr
    assert "net-torn-eth0 is empty" in done.stderr
    problems = json.loads(attached.succeed("list", "--json"))["problems"]
    assert len(problems) == 2


def test_nothing_anywhere(tool: Tool) -> None:
    text = tool.succeed("list", NETCONFPATH="/nowhere")
    assert text == f"No networks in /nowhere\nNo attachments in {tool.fakes.cache}\n"


def test_names_are_no_markup(tool: Tool) -> None:
    """rich takes [red] for a colour, and a cache entry's netns is anybody's."""
    tool.plugin("one")
    tool.network("one")
    tool.succeed("add", "net", "/run/[red]x[/red]")
    assert "/run/[red]x[/red]" in tool.succeed("list")
