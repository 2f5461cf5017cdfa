"""The sign on a link that its container's DEL has begun."""

from __future__ import annotations

import pytest

from hostnet import leaving
from hostnet.condition import OnlyWhile, require
from hostnet.leaving import host_end
from tests.kit.host import Host

OWNER = "net/c1/eth0"


@pytest.fixture
def pair(host: Host) -> str:
    name = host_end(OWNER)
    host.share(f"link {name} *", "link other *", f"* dev {name} *", "* dev other *", "sysctl *")
    host.command("ip", "link", "add", name, "type", "veth", "peer", "name", "other")
    return name


def test_the_sign_is_the_links(host: Host, pair: str) -> None:
    assert not leaving.is_marked(pair)
    leaving.mark(OWNER)
    assert leaving.is_marked(pair)
    assert not leaving.is_marked("other")
    host.command("nft", "flush", "ruleset")
    assert leaving.is_marked(pair)
    host.command("ip", "link", "delete", pair)
    assert leaving.is_marked(pair)  # nobody runs who has no link
    host.command("ip", "link", "add", pair, "type", "veth", "peer", "name", "other")
    assert not leaving.is_marked(pair)


def test_without_a_pair_of_ours_it_is_on_what_the_result_tells(host: Host, pair: str) -> None:
    host.share("link br7 *", "* dev br7 *")
    host.command("ip", "link", "add", "br7", "type", "bridge")
    leaving.mark("net/c2/eth0", ["br7", "other", "gone", "../x", "a b", ""])
    assert leaving.is_marked("other")
    assert not leaving.is_marked("br7")  # which is others' too
    assert not leaving.is_marked(pair)


def test_nobody_is_there(host: Host) -> None:
    leaving.mark(OWNER, ["gone"])
    assert not host.links().get(host_end(OWNER))


def test_the_mac_of_a_link(host: Host, pair: str) -> None:
    assert leaving.mac_of(pair) == host.links()[pair]["address"]
    assert leaving.mac_of("gone") == ""


def test_a_condition_is_asked_for_in_its_body_only() -> None:
    asked: list[str] = []
    require("nothing")
    with OnlyWhile(asked.append):
        require("this")
    require("nothing")
    assert asked == ["this"]
