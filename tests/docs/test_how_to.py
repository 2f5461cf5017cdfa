"""What the README and the how-to pages have a reader type does what they say."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.docs.conftest import Machine
from tests.docs.pages import ROOT, Page, read


def page(name: str) -> Page:
    return read(ROOT / "docs" / "how-to" / f"{name}.md")


@pytest.fixture
def readme(machine: Machine) -> Page:
    """The README, whose network is on the machine."""
    found = read(ROOT / "README.md")
    (network,) = (one for one in found.blocks if '"name": "mynet"' in one.text)
    machine.network(dataclasses.replace(network, title="10-mynet.conflist"))
    machine.host.share_bridge("cni0")
    machine.host.share_nft("pycni_*")
    return found


def test_by_hand(machine: Machine, readme: Page) -> None:
    (block,) = (one for one in readme.blocks if "cnitool add" in one.text)
    added, shown, *_ = machine.follow(block)[1:]
    address = json.loads(added)["ips"][0]["address"]
    assert address == "10.1.0.2/16"
    assert f"inet {address}" in shown


def test_from_python(machine: Machine, readme: Page) -> None:
    (block,) = (one for one in readme.blocks if "libcni.load_network" in one.text)
    assert machine.run("ip", "netns", "add", "blue").returncode == 0
    done = machine.run("python3", "-c", block.text)
    assert (done.stdout, done.stderr) == ("10.1.0.2/16\n", "")


@pytest.mark.usefixtures("readme")
def test_cnitools_own_page(machine: Machine) -> None:
    first = read(ROOT / "cnitool" / "README.md").blocks[0]
    assert len(machine.follow(first)) == 6


def test_publish(machine: Machine) -> None:
    machine.host.share_bridge("br-web")
    machine.host.share_nft("pycni_*")
    machine.network(page("publish").block("10-web.conflist"))
    printed = machine.follow(page("publish").block("publish"))
    (port,) = json.loads(printed[2])
    assert (port["hostPort"], port["containerIP"]) == (8080, "10.31.0.2")


def test_isolate(machine: Machine) -> None:
    machine.host.share_bridge("br-red")
    machine.host.share_nft("pycni_*")
    machine.network(page("isolate").block("10-red.conflist"))
    machine.follow(page("isolate").block("isolate"))
