"""Whatever a runtime sends, the door answers in the protocol's words.

PYCNI_EXAMPLES sets the number of random calls (2,000 by default; more by night).
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cni.call import Call
from cni.jsonvalue import JsonObject
from cni.result import Interface, Result
from cni.wire import decode
from tests.cni.calls import Environment, environment
from tests.cni.door import ask, plugin
from tests.cni.strategies import KEYS, VALUES
from tests.kit.namespace import Namespace
from tests.kit.versions import SPEC_VERSIONS

EXAMPLES = int(os.environ.get("PYCNI_EXAMPLES", "2000"))


def read_everything(call: Call) -> Result:
    """An ADD as a plugin's: every kind of getter on whatever is there, an interface made."""
    config = call.config
    config.integer("mtu", 0, 0, 65536)
    config.boolean("isGateway")
    config.choice("backend", ("nftables", "iptables"), "nftables")
    section = config.object("ipam")
    for entry in section.objects("ranges"):
        entry.network("subnet")
        entry.address("gateway")
    config.object("runtimeConfig").strings("ips")
    config.object("runtimeConfig").mac("mac")
    return call.prev_result or Result((Interface(call.ifname, sandbox=call.netns),))


def read_nothing(call: Call) -> None:
    """A verb that needs what the door has checked already."""
    assert call.network
    assert "/" not in call.owner.replace("/", "", 2)


SERVED = plugin(read_everything, read_nothing, read_nothing, read_nothing, read_nothing)

# ---- what is sent: a good call, spoilt in a few places ------------------------------------------

VERBS = ["ADD", "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"]
VARIABLES: list[tuple[str, str | None]] = [
    *((name, value) for name in environment("ADD") for value in (None, "", "../../x", "x" * 300)),
    *(("CNI_COMMAND", value) for value in ("add", "GET", "ADD\n")),
    *(("CNI_CONTAINERID", value) for value in ("a" * 64, "a/b", ".a", "\udcff")),
    *(("CNI_IFNAME", value) for value in ("net1", "x" * 16, "eth%d", "a\xa0", "a:b", "\udcff")),
    *(("CNI_NETNS", value) for value in ("/proc/self/ns/net", "/proc/self/ns/uts", "/", "\udcff")),
    *(("CNI_ARGS", value) for value in ("IP=1", "IgnoreUnknown=1;A=", "A=1", ";;=;", "\udcff=")),
    *(("CNI_PATH", value) for value in (":", "/a:/b")),
    *(("CNI_NETNS_OVERRIDE", value) for value in ("1", "0")),
]
GOOD: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "test",
    "mtu": 1400,
    "isGateway": True,
    "backend": "",
    "ipam": {"ranges": [{"subnet": "10.1.0.0/16", "gateway": "10.1.0.1"}]},
    "runtimeConfig": {"ips": ["10.1.0.5"], "mac": "02:00:00:00:00:01"},
    "cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}],
    "cni.dev/attachments": None,
}
RESULT: dict[str, Any] = {
    "interfaces": [{"name": "eth0"}],
    "ips": [{"address": "10.1.0.2/16", "interface": 0}],
    "ip4": {"ip": "10.1.0.2/16"},
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {},
}


class Sender:
    """A caller whose every choice follows from one number.

    Drawn piece by piece by hypothesis, the same calls take fifteen times as long.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def environ(self, namespace: Namespace) -> Environment:
        choose = self._random
        changed = dict(choose.sample(VARIABLES, choose.choice((0, 0, 1, 2))))
        if choose.random() < 0.1:
            data = choose.randbytes(choose.randrange(20)).replace(b"\0", b"")
            changed[choose.choice(list(environment("ADD")))] = os.fsdecode(data)
        return environment(choose.choice(VERBS), namespace, **changed)

    def stdin(self) -> bytes:
        choose = self._random
        document = self._spoilt(GOOD)
        if choose.random() < 0.5:
            document["cniVersion"] = choose.choice(SPEC_VERSIONS)
        if choose.random() < 0.5:
            document["prevResult"] = self._spoilt(RESULT)
        stdin = json.dumps(document).encode()
        if choose.random() < 0.03:
            return stdin[: choose.randrange(len(stdin))]
        if choose.random() < 0.03:
            return stdin + choose.randbytes(5)
        if choose.random() < 0.03:
            return choose.randbytes(choose.randrange(60))
        if choose.random() < 0.03:
            return json.dumps(self._value()).encode()
        return stdin

    def _spoilt(self, good: dict[str, Any]) -> dict[str, Any]:
        """A document with some keys replaced, and now and then in another case."""
        choose = self._random
        wrong = choose.sample(list(good), choose.choice((0, 0, 1, 2, 3)))
        document = {**good, **{key: self._value() for key in wrong}}
        if choose.random() < 0.1:
            return {key.swapcase(): value for key, value in document.items()}
        return document

    def _value(self, depth: int = 0) -> Any:
        choose = self._random
        if depth > 3 or choose.random() < 0.7:
            return choose.choice(VALUES)
        if choose.random() < 0.3:
            return "".join(chr(choose.randrange(0x11000)) for _ in range(3))
        if choose.random() < 0.5:
            return [self._value(depth + 1) for _ in range(choose.randrange(3))]
        return {choose.choice(KEYS): self._value(depth + 1) for _ in range(choose.randrange(3))}


HOSTILE = [
    b"",
    b"[" * 100_000,
    b'{"cniVersion":"1.1.0","name":"net","ipam":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
    b'{"cniVersion":"1.1.0","name":"' + b"n" * 1_000_000 + b'"}',
    b'{"cniVersion":"' + b"1" * 1_000_000 + b'","name":"net"}',
    b'{"cniVersion":"1.1.0","name":"net","mtu":1e999}',
    b'{"cniVersion":"1.1.0","name":"net","mtu":' + b"9" * 5000 + b"}",
    b'{"cniVersion":"1.1.0","name":"net","backend":"\\ud800\\u0000"}',
    b'{"cniVersion":"1.1.0","name":"net","name":"\\ud800"}',
]


def check(environ: Environment, stdin: bytes) -> None:
    """`ask` judges what holds for every answer; here stands what this plugin's must be."""
    answer = ask(SERVED, environ, stdin)
    if answer.status == 0:
        if environ.get("CNI_COMMAND") == "ADD":
            assert isinstance(decode(JsonObject(answer.document)), Result)
        return
    assert answer.error["code"] < 100, answer.error  # the caller's fault, never the plugin's
    if answer.error["code"] == 4:
        assert "CNI_" in answer.error["msg"]
    if answer.error["code"] == 7:
        assert 'key "' in answer.error["msg"]
    assert len(answer.error["msg"]) < 1000


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**64 - 1))
def test_any_call_gets_an_answer_in_the_protocols_words(seed: int, namespace: Namespace) -> None:
    sender = Sender(seed)
    check(sender.environ(namespace), sender.stdin())


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"])
@pytest.mark.parametrize("stdin", HOSTILE, ids=lambda stdin: repr(stdin[:60]))
def test_a_hostile_config_gets_one_too(command: str, stdin: bytes, namespace: Namespace) -> None:
    check(environment(command, namespace), stdin)
