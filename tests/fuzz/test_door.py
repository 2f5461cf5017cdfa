"""The door itself: bytes on stdin that are hardly JSON, and variables that are hardly names."""

from __future__ import annotations

import json
import os

from tests.fuzz import hostile, verdict
from tests.fuzz.campaign import Draw
from tests.fuzz.conftest import Start
from tests.fuzz.test_plugins import KEEP
from tests.fuzz.world import World, templates

VERBS = ("ADD", "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION")
VARIABLES = (
    "CNI_COMMAND",
    "CNI_CONTAINERID",
    "CNI_IFNAME",
    "CNI_NETNS",
    "CNI_ARGS",
    "CNI_PATH",
    "CNI_NETNS_OVERRIDE",
)
KEYS = ("IP", "MAC", "GATEWAY", "IgnoreUnknown", "K8S_POD_NAME", "", "ip", "=", "IP ")


def args(draw: Draw) -> str:
    """CNI_ARGS, nearly of its grammar."""
    pairs = []
    for _ in range(draw.choice((0, 1, 2, 5, 300))):
        given = draw.choice((hostile.word(draw)[:200], draw.choice(hostile.ADDRESSES), "1", ""))
        pairs.append(draw.choice(KEYS) + draw.choice(("=", "=", "=", "", "==")) + given)
    return draw.choice((";", ";", ";;", ",", " ; ")).join(pairs)


def variable(draw: Draw, name: str) -> str:
    """What a process can have in its environment: any bytes but NUL."""
    if name == "CNI_ARGS":
        text = args(draw)
    elif draw.random() < 0.2:
        text = os.fsdecode(draw.randbytes(draw.randrange(1, 30)))
    elif name == "CNI_NETNS":
        text = draw.choice(("/", "/proc/self/ns/uts", "/dev/zero", "/etc/passwd", "relative", "/x"))
    else:
        text = hostile.word(draw)[:100_000]
    return os.fsdecode(text.encode("utf-8", "surrogateescape" if _escaped(text) else "replace")
                       .replace(b"\0", b""))  # fmt: skip


def _escaped(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def test_bytes_and_environment(world: World, campaign: Start) -> None:
    found = templates(world)
    plugins = ("static", "host-local", "loopback", "bridge")

    def one(draw: Draw) -> str:
        plugin = draw.choice(plugins)
        config = draw.choice(found[plugin])
        if draw.random() < 0.3:
            config = hostile.spoilt(draw, config, KEEP)
        data = hostile.encoded(draw, config)
        if draw.random() < 0.6:
            data = hostile.broken(draw, data)
        environ = world.environ(draw.choice(VERBS), world.container)
        for name in draw.sample(VARIABLES, draw.choice((0, 1, 1, 2, 3))):
            if draw.random() < 0.2:
                environ.pop(name, None)
            else:
                environ[name] = variable(draw, name)
        before = world.links()
        try:
            answer = world.call(plugin, environ, data)
            assert verdict.names_its_place(answer), answer.document
            if environ.get("CNI_COMMAND") == "ADD" and not answer.code:
                undone = world.call(plugin, {**environ, "CNI_COMMAND": "DEL"}, data)
                assert not undone.code, undone.document
                world.check_deleted()
            else:
                world.check_failed(before)
            world.check_tables()
        except BaseException as error:
            error.add_note(f"{plugin} {environ} {data[:2000]!r}")
            raise
        return answer.word

    campaign("door: stdin and environment", 200, 12000).run(one, every=200, look=world.look)


def test_what_a_delegate_answers(world: World, campaign: Start) -> None:
    """An IPAM plugin of somebody else's, as a process, that prints anything and ends anyhow."""
    good = {
        "cniVersion": "1.1.0",
        "ips": [{"address": "10.9.0.2/24", "gateway": "10.9.0.1"}, {"address": "fd09::2/64"}],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.8.0.0/16", "gw": "10.9.0.7", "mtu": 1300}],
        "dns": {"nameservers": ["10.9.0.1"], "search": ["a.example"]},
    }
    failed = {"cniVersion": "1.1.0", "code": 11, "msg": "try again", "details": "much"}
    plugins = ("bridge", "ptp", "macvlan", "tap", "host-device", "vxlan")
    found = templates(world)

    def one(draw: Draw) -> str:
        plugin = draw.choice(plugins)
        config = {**found[plugin][0], "ipam": {"type": "foreign"}, "name": "net"}
        document = hostile.spoilt(draw, draw.choice((good, good, good, failed)))
        world.answer.write_bytes(hostile.encoded(draw, document))
        data = hostile.encoded(draw, config) if draw.random() < 0.1 else json.dumps(config).encode()
        environ = world.environ("ADD", world.container)
        environ["FUZZ_STATUS"] = draw.choice(("0", "0", "0", "0", "1", "7"))
        before = world.links()
        try:
            answer = world.call(plugin, environ, data, foreign=True)
            if answer.code:
                world.check_failed(before)
            else:
                environ.update(CNI_COMMAND="DEL", FUZZ_STATUS="0")
                undone = world.call(plugin, environ, data)
                assert not undone.code, undone.document
                world.check_deleted()
            world.check_tables()
        except BaseException as error:
            error.add_note(f"{plugin} {world.answer.read_bytes()[:2000]!r}")
            raise
        return answer.word

    campaign("answers of an IPAM plugin", 30, 2000).run(one, every=200, look=world.look)
