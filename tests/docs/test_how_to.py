"""The how-to pages' commands do what they say, on a machine of their own."""

from __future__ import annotations

import json

from tests.docs.conftest import Machine
from tests.docs.pages import ROOT, Page, read


def page(name: str) -> Page:
    return read(ROOT / "docs" / "how-to" / f"{name}.md")


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
