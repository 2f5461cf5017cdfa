"""Every key of the configuration and the allowlist: what is accepted, how a wrong one is named."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from cni.errors import INVALID_CONFIG, INVALID_ENVIRONMENT, IO_FAILURE, NOT_AVAILABLE
from cni.skel import serve
from tests.kit.calls import Document, PluginError, Runtime

HERE: dict[str, Any] = {
    "netns": "/proc/thread-self/ns/net",
    "environ": {"CNI_NETNS_OVERRIDE": "1"},
}
"""Nothing here gets as far as the namespace."""


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


def config(**keys: Any) -> Document:
    return {"cniVersion": "1.1.0", "name": "net", "type": "tuning", "prevResult": {}, **keys}


NO_TEXT: list[Any] = [5, True, 1.5, [], {}, "a\0b", "\ud800"]
NO_SWITCH: list[Any] = [0, 1, "true", [], {}]
NO_MAC: list[Any] = [
    5,
    True,
    [],
    {},
    "x",
    "02:00:00:00:00",
    "01:00:5e:00:00:01",
    "00:00:00:00:00:00",
]
NO_MTU: list[Any] = ["1400", True, 1.5, -1, 1, 67, 65536, 2**40, [], {}]
NO_QUEUE: list[Any] = ["5", True, 1.5, -1, 2**32, [], {}]
NO_OBJECT: list[Any] = [5, True, "x", []]
CASES: list[tuple[str, Any]] = [
    *(("mac", value) for value in NO_MAC),
    *(("mtu", value) for value in NO_MTU),
    *(("promisc", value) for value in NO_SWITCH),
    *(("allmulti", value) for value in NO_SWITCH),
    *(("txQLen", value) for value in NO_QUEUE),
    *(("dataDir", value) for value in NO_TEXT),
    *(("sysctl", value) for value in NO_OBJECT),
    *(("sysctl.net.core.somaxconn", value) for value in NO_TEXT),
    *(("runtimeConfig", value) for value in NO_OBJECT),
    *(("runtimeConfig.mac", value) for value in NO_MAC),
    *(("args", value) for value in NO_OBJECT),
    *(("args.cni", value) for value in NO_OBJECT),
    *(("args.cni.mac", value) for value in NO_MAC),
    *(("args.cni.mtu", value) for value in NO_MTU),
    *(("args.cni.promisc", value) for value in NO_SWITCH),
    *(("args.cni.allmulti", value) for value in NO_SWITCH),
    *(("args.cni.txQLen", value) for value in NO_QUEUE),
    *(("args.cni.sysctl", value) for value in NO_OBJECT),
    *(("args.cni.sysctl.net.core.somaxconn", value) for value in NO_TEXT),
]


def nested(path: str, value: Any) -> Document:
    asked = config()
    at = asked
    head, dot, key = path.partition("sysctl.")
    parts = [*head.strip(".").split("."), "sysctl", key] if dot else path.split(".")
    parts = [one for one in parts if one]
    for name in parts[:-1]:
        at = at.setdefault(name, {})
    at[parts[-1]] = value
    return asked


@pytest.mark.parametrize(("path", "value"), CASES)
def test_wrong_values_are_named(path: str, value: Any, runtime: Runtime) -> None:
    asked = nested(path, value)
    with pytest.raises(PluginError) as caught:
        runtime.add(asked, **HERE)
    assert caught.value.code == INVALID_CONFIG
    assert f'key "{path}"' in caught.value.msg
    assert "expected" in caught.value.msg
    if not path.startswith("runtimeConfig"):
        with pytest.raises(PluginError) as caught:
            runtime.status(asked)
        assert caught.value.code == NOT_AVAILABLE


@pytest.mark.parametrize(
    "key",
    [
        "",
        "net",
        "net.",
        ".net.core.x",
        "kernel.hostname",
        "netx.core.y",
        "net..core.x",
        "net/../kernel/hostname",
        "net/core/../../kernel/hostname",
        "net/./x",
        "/net/core/x",
        "/proc/sys/net/core/x",
        "net.core.x\n",
        "net.core.\u202ex",
    ],
)
def test_sysctls_outside_of_the_network_namespace(key: str, runtime: Runtime) -> None:
    for asked in (config(sysctl={key: "1"}), config(args={"cni": {"sysctl": {key: "1"}}})):
        with pytest.raises(PluginError, match="sysctl of the network namespace") as caught:
            runtime.add(asked, **HERE)
        assert caught.value.code == INVALID_CONFIG
        assert "sysctl." in caught.value.msg


def test_null_is_no_value(runtime: Runtime) -> None:
    asked = config(sysctl={"net.core.somaxconn": None}, mac=None, mtu=None, txQLen=None)
    assert runtime.add(asked, **HERE) == {"cniVersion": "1.1.0"}


@pytest.mark.parametrize(
    "other", ["net/core/somaxconn", "net.core/somaxconn", "net.core.IFNAME"], ids=str
)
def test_two_names_of_one_sysctl(other: str, runtime: Runtime) -> None:
    asked = config(sysctl={"net.core.somaxconn": "1", other: "1"})
    with pytest.raises(PluginError, match=r'same sysctl as "net\.core\.somaxconn"') as caught:
        runtime.add(asked, ifname="somaxconn", **HERE)
    assert caught.value.code == INVALID_CONFIG


def test_a_name_that_is_there_twice(runtime: Runtime) -> None:
    asked = json.dumps(config(sysctl={"net.core.somaxconn": "1"})).replace(
        '"net.core.somaxconn": "1"', '"net.core.somaxconn": "1", "net.core.somaxconn": "1"'
    )
    environ = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": HERE["netns"],
        "CNI_PATH": str(runtime.path),
        **HERE["environ"],
    }
    stdout = io.BytesIO()
    status = serve("tuning", runtime.bundle, environ, io.BytesIO(asked.encode()), stdout)
    told = json.loads(stdout.getvalue())
    assert status == 1
    assert told["code"] == INVALID_CONFIG
    assert "duplicated sysctl keys are not allowed" in told["msg"]


def test_ifname_of_many(runtime: Runtime) -> None:
    asked = config(sysctl={"net.ipv4.conf.IFNAME.arp_filter": "1"})
    with pytest.raises(PluginError, match="CNI_IFNAME: found 'all'") as caught:
        runtime.add(asked, ifname="all", **HERE)
    assert caught.value.code == INVALID_ENVIRONMENT


def test_wrong_argument(runtime: Runtime) -> None:
    with pytest.raises(PluginError, match="CNI_ARGS MAC") as caught:
        runtime.add(config(), args="MAC=02:00", **HERE)
    assert caught.value.code == INVALID_ENVIRONMENT


# ---- the allowlist -----------------------------------------------------------------------------


ALLOWED = [
    (r"^net\.core\.somaxconn$", "net.core.somaxconn", True),
    (r"^net\.core\.somaxconn$", "net.core.somaxconnx", False),
    ("somax", "net.core.somaxconn", True),
    (r"^net\.ipv4\.conf\.IFNAME\.[a-z_]*$", "net.ipv4.conf.IFNAME.arp_filter", True),
    (r"^net\.ipv4\.conf\.IFNAME\.[a-z_]*$", "net.ipv4.conf.eth0.arp_filter", False),
    ("nothing\n\n  ^net[.]core  \n", "net.core.somaxconn", True),
    (r"^[[:lower:][:digit:].]+\z", "net.core.somaxconn", True),
    (r"^[[:lower:][:digit:].]+\z", "net.core.soma_xconn", False),
    (r"^\Qnet.core.\E[a-z]+$", "net.core.somaxconn", True),
    (r"^\Qnet.core.\E[a-z]+$", "net.coreXsomaxconn", False),
    (r"^\Qnet.core.somaxconn", "net.core.somaxconn", True),
    ("", "net.core.somaxconn", False),
    ("\n  \n", "net.core.somaxconn", False),
]


@pytest.mark.parametrize(("lines", "key", "is_allowed"), ALLOWED)
def test_allowlist(
    lines: str, key: str, is_allowed: bool, runtime: Runtime, allowlist: Path
) -> None:
    asked = config(sysctl={key: "1"})
    allowlist.write_text(lines)
    if is_allowed:
        runtime.status(asked)
        return
    for verb in (lambda: runtime.status(asked), lambda: runtime.add(asked, **HERE)):
        with pytest.raises(PluginError, match=f"Sysctl {key} is not allowed"):
            verb()


def test_every_sysctl_must_be_allowed(runtime: Runtime, allowlist: Path) -> None:
    allowlist.write_text("^net.core\n")
    more = {"cni": {"sysctl": {"net.ipv4.ip_forward": "1"}}}
    with pytest.raises(PluginError, match=r"Sysctl net\.ipv4\.ip_forward is not allowed") as caught:
        runtime.add(config(sysctl={"net.core.somaxconn": "1"}, args=more), **HERE)
    assert caught.value.code == INVALID_CONFIG
    assert str(allowlist) in caught.value.msg
    runtime.status(config(mtu=1400))


@pytest.mark.parametrize("line", ["(", "[[:blank:]]", "*", "[z-a]"])
def test_a_line_that_is_no_expression(line: str, runtime: Runtime, allowlist: Path) -> None:
    allowlist.write_text(line)
    with pytest.raises(PluginError, match="expected a regular expression") as caught:
        runtime.add(config(sysctl={"net.core.somaxconn": "1"}), **HERE)
    assert caught.value.code == IO_FAILURE
    assert str(allowlist) in caught.value.msg


def test_a_list_that_cannot_be_read(runtime: Runtime, allowlist: Path) -> None:
    allowlist.mkdir()
    with pytest.raises(PluginError, match="cannot be read") as caught:
        runtime.add(config(sysctl={"net.core.somaxconn": "1"}), **HERE)
    assert caught.value.code == IO_FAILURE
