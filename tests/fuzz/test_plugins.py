"""Every plugin's config, spoilt at any depth, with every verb, through the door.

An ADD that is accepted must be undone by its DEL; one that fails leaves nothing; whatever words
the config holds, they reach neither a path outside nor anybody's packet filter.
"""

from __future__ import annotations

import pytest

from cni_bundle.plugins import PLUGINS
from tests.fuzz import hostile, verdict
from tests.fuzz.campaign import Draw
from tests.fuzz.conftest import Start
from tests.fuzz.world import World, previous, templates
from tests.kit.calls import Document

WEIGHT = {"bridge": 4, "host-local": 3, "portmap": 3, "vxlan": 3, "firewall": 2, "ptp": 2}
SAMPLE, WHOLE = 12, 600
KEEP = frozenset({"type", *hostile.PATHS})


class Caller:
    """Sends one plugin what follows from each draw."""

    def __init__(self, world: World, plugin: str) -> None:
        self._world, self._plugin = world, plugin
        self._configs = templates(world)[plugin]
        chained = "prevResult" in self._configs[0]
        self._netns = world.attached if chained else world.container

    def one(self, draw: Draw) -> str:
        config = hostile.spoilt(draw, draw.choice(self._configs), KEEP)
        if "prevResult" in config and draw.random() < 0.1:
            version = draw.choice(("0.1.0", "0.2.0", "0.3.1", "0.4.0"))
            spoilt = hostile.spoilt(draw, previous(version), KEEP)
            config = {**config, "cniVersion": version, "prevResult": spoilt}
        if draw.random() < 0.75:
            return self._live(draw, config)
        command = draw.choice(("DEL", "CHECK", "GC", "STATUS"))
        if command == "GC" and draw.random() < 0.8:
            valid = [{"containerID": hostile.word(draw), "ifname": "eth0"}]
            config["cni.dev/valid-attachments"] = draw.choice(([], valid, hostile.value(draw)))
        answer = self._call(command, hostile.encoded(draw, config))
        return f"{command} {answer.word}"

    def _live(self, draw: Draw, config: Document) -> str:
        before = self._world.links()
        data = hostile.encoded(draw, config)
        answer = self._call("ADD", data)
        if answer.code:
            self._world.check_failed(before)
            return f"ADD {answer.word}"
        word = "accepted"
        if draw.random() < 0.5 and isinstance(config, dict):
            checked = {**config, "prevResult": answer.document}
            found = self._call("CHECK", hostile.encoded(draw, checked))
            word = f"accepted, CHECK {found.word}" if found.code else word
        deleted = self._call("DEL", data)
        assert not deleted.code, f"DEL of what ADD made: {deleted.document} of {data[:3000]!r}"
        self._world.check_deleted()
        return f"ADD {word}"

    def _call(self, command: str, data: bytes) -> verdict.Answer:
        environ = self._world.environ(command, self._netns)
        try:
            answer = self._world.call(self._plugin, environ, data)
            assert verdict.names_its_place(answer), answer.document
            self._world.check_tables()
        except BaseException as error:
            error.add_note(f"{command} {self._plugin} {data[:3000]!r}")
            raise
        return answer


GROUPS = {
    "bridges": ("bridge", "vxlan", "ptp"),
    "links": ("macvlan", "ipvlan", "vlan", "host-device", "tap", "dummy", "loopback"),
    "addresses": ("host-local", "static", "dhcp", "etcd-ipam"),
    "ports": ("portmap",),
    "guards": ("firewall", "tuning"),
    "inside": ("bandwidth", "sbr", "vrf"),
}


@pytest.mark.parametrize("group", GROUPS)
def test_a_spoilt_config(group: str, world: World, campaign: Start) -> None:
    for plugin in GROUPS[group]:
        campaign(f"config: {plugin}", SAMPLE, WHOLE * WEIGHT.get(plugin, 1)).run(
            Caller(world, plugin).one, every=100, look=world.look
        )


def test_every_plugin_is_in_a_group() -> None:
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(PLUGINS)
