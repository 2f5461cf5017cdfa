"""The graph of a real host, and how it is drawn without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cni.errors import CniError
from cnitool.graph import command, svg
from tests.cnitool.attached import Network
from tests.cnitool.graph.graphs import HOSTILE, container, graph
from tests.kit.host import Host

SVG = "{http://www.w3.org/2000/svg}"


def drawn(network: Network, only: str = "", **how: str) -> int:
    return command.run(
        network.settings, only, svg=how.get("svg", ""), page=how.get("page", ""), as_json=False
    )


def test_of_a_host(network: Network, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Its card, its bridge, who lives and who has ended, and an overlay on a bridge of its own."""
    living, ended = host.container("living"), host.container("ended")
    network.add("c1", living, 8080, 8443)
    network.add("c2", ended)
    ended.close()
    host.command(
        "ip", "link", "add", "nic", "type", "veth", "peer", "name", "vb", "netns", str(living)
    )
    for line in (
        "link add vx7 type vxlan id 7 dstport 4789 local 192.0.2.1 dev lo",
        "link add vb7 type bridge",
        "link set vx7 master vb7",
    ):
        host.command("ip", *line.split())
    fdb = ("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx7", "dst", "192.0.2.2")
    host.command(*fdb)
    assert command.run(network.settings, "", svg="", page="", as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    groups = {each["device"]["name"]: each for each in document["groups"]}
    # The veth of who has ended goes when the kernel gets to it.
    assert set(groups) - {"not on a device of the host"} == {"cni0", "vb7"}
    assert "10.1.0.1/24" in groups["cni0"]["device"]["details"]
    drawn_boxes = [box for each in groups.values() for box in each["containers"]]
    assert {box["title"]: box["state"] for box in drawn_boxes} == {"c1": "ok", "c2": "gone"}
    first = groups["cni0"]["containers"][0]
    assert first["ports"] == ["0.0.0.0:8080/tcp -> 80", "0.0.0.0:8443/tcp -> 80"]
    (overlay,) = groups["vb7"]["overlays"]
    assert overlay["details"][0].startswith("VNI 7, port 4789")
    assert "peer 192.0.2.2" in overlay["details"]
    assert drawn(network, "net") == 0
    text = capsys.readouterr().out
    assert "bridge cni0  10.1.0.1/24, MTU 1500" in text
    assert "0.0.0.0:8080/tcp -> 80" in text
    assert "vb7" not in text, "no other network's"
    for name in ("nic", "vb7", "vx7"):
        host.command("ip", "link", "delete", name)
    network.delete("c1", living)
    network.delete("c2", ended)


def test_a_kept_configuration_that_is_none(
    network: Network, host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an attachment that hangs on no device, whose configuration would say on which."""
    netns = host.container("one")
    network.add("c1", netns)
    (end,) = [name for name in host.links() if name.startswith("veth")]
    host.command("ip", "link", "delete", end)
    (entry,) = (tmp_path / "cache" / "results").iterdir()
    document = json.loads(entry.read_text())
    entry.write_text(json.dumps({**document, "config": "e30="}))
    assert drawn(network) == 0
    assert "not on a device of the host" in capsys.readouterr().out
    network.delete("c1", netns)


def test_files(network: Network, host: Host, tmp_path: Path) -> None:
    netns = host.container("one")
    network.add("c1", netns)
    for how, name in (("svg", "one.svg"), ("page", "one.html")):
        assert drawn(network, **{how: str(tmp_path / name)}) == 0
        assert "c1" in (tmp_path / name).read_text()
    with pytest.raises(CniError, match=r"/nowhere/one\.svg cannot be written: No such file"):
        drawn(network, svg="/nowhere/one.svg")
    network.delete("c1", netns)


def test_the_picture_is_xml() -> None:
    """Of whatever text; each box's words are in its title."""
    root = ET.fromstring(svg.draw(graph(40)))
    boxes = [one for one in root.iter(f"{SVG}g") if "box" in one.get("class", "")]
    assert len(boxes) == 44
    assert [one.get("data-name") for one in boxes if "uplink" in one.get("class", "")] == ["eth0"]
    hostile = graph(0)
    group = hostile.groups[0]
    box = container(1)
    named = type(box)("container", HOSTILE, HOSTILE, (HOSTILE,))
    made = type(hostile)(HOSTILE, (), (type(group)(group.device, (), (named,)),))
    root = ET.fromstring(svg.draw(made))
    assert [one.get("data-name") for one in root.iter(f"{SVG}g") if one.get("data-name")][
        -1
    ] == HOSTILE


def test_the_same_state_gives_the_same_picture() -> None:
    assert svg.draw(graph(7)) == svg.draw(graph(7))


def test_every_state_has_a_look() -> None:
    style = svg.draw(graph(0))
    for state in ("conflict", "unknown", "gone", "down"):
        assert f".{state} rect" in style
