"""add, check, del, gc, status: environment, output, exit status, as the reference's."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cni import __version__
from tests.cnitool.conftest import ROOT, Tool

NETNS = "/run/netns/nope"
CONTAINER = "cnitool-70bfdfa0e19cefe8c695"
"""What the reference's cnitool makes of NETNS (seen)."""


@pytest.fixture
def net(tool: Tool) -> Tool:
    tool.plugin("one")
    tool.plugin("two")
    tool.network({"type": "one", "capabilities": {"portMappings": True}}, "two")
    return tool


def test_the_whole_life(net: Tool) -> None:
    printed = net.succeed("add", "net", NETNS)
    net.succeed("check", "net", NETNS)
    assert net.succeed("del", "net", NETNS) == ""
    assert net.fakes.order() == [
        ("ADD", "one"),
        ("ADD", "two"),
        ("CHECK", "one"),
        ("CHECK", "two"),
        ("DEL", "two"),
        ("DEL", "one"),
    ]
    call = net.fakes.calls()[0]
    assert call.cni == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": CONTAINER,
        "CNI_NETNS": NETNS,
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "",
        "CNI_PATH": str(net.fakes.directory),
    }
    # Four spaces and this order of keys, as Go prints it.
    assert printed == (
        """{
    "cniVersion": "1.1.0",
    "interfaces": [
        {
            "name": "eth0",
            "mac": "02:00:00:00:00:01",
            "sandbox": "/run/netns/c"
        }
    ],
    "ips": [
        {
            "interface": 0,
            "address": "10.1.2.3/24",
            "gateway": "10.1.2.1"
        }
    ],
    "routes": [
        {
            "dst": "0.0.0.0/0",
            "gw": "10.1.2.1"
        }
    ]
}
"""
    )


def test_the_references_variables(net: Tool) -> None:
    variables = {
        "CNI_IFNAME": "net7",
        "CNI_ARGS": "IgnoreUnknown=1;K=V",
        "CAP_ARGS": '{"portMappings":[{"hostPort":80}],"other":1}',
    }
    net.succeed("add", "net", NETNS, **variables)
    call = net.fakes.calls()[0]
    assert call.env["CNI_IFNAME"] == "net7"
    assert call.env["CNI_ARGS"] == "IgnoreUnknown=1;K=V"
    assert call.config["runtimeConfig"] == {"portMappings": [{"hostPort": 80}]}
    net.succeed("del", "net", NETNS, "-i", "net7")  # with what add was given
    call = net.fakes.calls()[-1]
    assert call.env["CNI_ARGS"] == "IgnoreUnknown=1;K=V"
    assert call.config["runtimeConfig"] == {"portMappings": [{"hostPort": 80}]}


def test_a_relative_path_is_the_same_container(net: Tool) -> None:
    net.succeed("add", "net", NETNS)
    net.succeed("del", "net", "run/netns/../netns/nope")  # cwd is /
    assert {call.env["CNI_CONTAINERID"] for call in net.fakes.calls()} == {CONTAINER}


def test_a_network_by_its_file(net: Tool, tmp_path: Path) -> None:
    path = net.network("one", name="elsewhere").rename(tmp_path / "my.conflist")
    net.succeed("add", str(path), NETNS)
    net.succeed("del", str(path), NETNS)


def test_errors_are_told_on_stderr(net: Tool) -> None:
    net.fakes.fail("two", "ADD", "no room", details="none at all")
    assert net.fail("add", "net", NETNS) == (
        'plugin type="two" name="net" failed (add): no room; none at all\n'
    )
    assert net.fakes.order("DEL") == [("DEL", "two"), ("DEL", "one")]


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"CNI_ARGS": "K"}, ["invalid CNI_ARGS pair 'K'", "KEY=VALUE"]),
        ({"CNI_ARGS": "K=V;"}, ["invalid CNI_ARGS pair ''"]),
        ({"CAP_ARGS": "{"}, ["CAP_ARGS", "is not JSON"]),
        ({"CAP_ARGS": "[]"}, ["CAP_ARGS", "found []"]),
        ({"CNI_IFNAME": "a/b"}, ["CNI_IFNAME", "a/b"]),
        ({"CNI_PATH": "/nowhere"}, ['failed to find plugin "one" in path [/nowhere]', "CNI_PATH"]),
        ({"NETCONFPATH": "/nowhere"}, ["no net configurations found in /nowhere", "NETCONFPATH"]),
    ],
)
def test_a_wrong_variable_is_named(net: Tool, env: dict[str, str], words: list[str]) -> None:
    said = net.fail("add", "net", NETNS, **env)
    for word in words:
        assert word in said
    assert net.fakes.calls() == []


def test_an_unknown_network(net: Tool) -> None:
    net.network("one", name="other")
    said = net.fail("add", "nett", NETNS)
    assert f'no net configuration with name "nett" in {net.conf_dir}, which has net, other' in said
    assert "did you mean net?" in said
    (net.conf_dir / "00-broken.conflist").write_text("{")
    assert "00-broken.conflist is not JSON" in net.fail("add", "absent", NETNS)


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["bogus"],
        ["add"],
        ["add", "net"],
        ["gc", "net"],
        ["gc", "net", "--all", "--keep", "c"],
        ["del", "net", "--", "--"],
        ["add", "net", NETNS, "--timeout", "soon"],
        ["add", "net", NETNS, "--timeout", "-1"],
        ["add", "net", NETNS, "--timeout", "nan"],
    ],
)
def test_wrong_usage(net: Tool, args: list[str]) -> None:
    assert net.fail(*args)
    assert net.fakes.calls() == []


def test_help_and_version(tool: Tool) -> None:
    assert tool.succeed("--version") == f"cnitool {__version__} (CNI 1.1.0)\n"
    text = tool.succeed("--help")
    for word in ("add", "validate", "NETCONFPATH", "CAP_ARGS"):
        assert word in text
    assert "--keep CONTAINER[:IFNAME]" in tool.succeed("gc", "--help")


def test_someone_who_is_not_root_is_told(net: Tool) -> None:
    done = subprocess.run(
        net.argv("add", "net", NETNS),
        env=net.env,
        cwd="/",
        text=True,
        capture_output=True,
        check=False,
        user=65534,
        group=65534,
        extra_groups=[],
    )
    assert done.returncode == 1
    assert "not run as root but as user 65534" in done.stderr


# ---- del -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "{"])
def test_del_goes_by_what_add_kept_when_the_file_is_no_good(net: Tool, content: str | None) -> None:
    net.succeed("add", "net", NETNS)
    path = net.conf_dir / "10-net.conflist"
    path.unlink()
    if content is not None:
        path.write_text(content)
    done = net.run("del", "net", NETNS)
    assert done.returncode == 0
    assert "using the configuration kept in" in done.stderr
    assert net.fakes.order("DEL") == [("DEL", "two"), ("DEL", "one")]
    assert net.fakes.cached() == []
    assert "no net configuration" in net.fail("del", "net", NETNS)


def test_del_tells_every_failure(net: Tool) -> None:
    net.succeed("add", "net", NETNS)
    net.fakes.fail("one", "DEL", "busy")
    net.fakes.fail("two", "DEL", "no daemon")
    said = net.fail("del", "net", NETNS)
    assert 'type="two" name="net" failed (delete): no daemon' in said
    assert 'type="one" name="net" failed (delete): busy' in said


# ---- gc ------------------------------------------------------------------------------------------


def valid(tool: Tool) -> object:
    return tool.fakes.calls("GC")[-1].config["cni.dev/valid-attachments"]


def attachment(container: str, ifname: str = "eth0") -> dict[str, str]:
    return {"containerID": container, "ifname": ifname}


def test_gc_never_removes_everything_by_accident(net: Tool) -> None:
    net.succeed("add", "net", NETNS)
    assert "one of the arguments --keep --all is required" in net.fail("gc", "net", NETNS)
    assert net.fakes.calls("DEL", "GC") == []


def test_gc_of_all(net: Tool) -> None:
    net.succeed("add", "net", NETNS)
    net.succeed("gc", "net", NETNS, "--all")  # with the reference's superfluous argument
    assert net.fakes.order("DEL") == [("DEL", "two"), ("DEL", "one")]
    assert valid(net) is None
    assert net.fakes.cached() == []


def test_gc_keeps_what_is_named(net: Tool) -> None:
    net.succeed("add", "net", NETNS)
    net.succeed("add", "net", NETNS, "-i", "eth1")
    net.succeed("add", "net", "/run/netns/other")
    net.succeed("gc", "net", "--keep", f"{CONTAINER}:eth1", "--keep", "foreign:net0")
    assert [(entry.container_id, entry.ifname) for entry in net.fakes.cached()] == [
        (CONTAINER, "eth1")
    ]
    assert valid(net) == [attachment(CONTAINER, "eth1"), attachment("foreign", "net0")]


def test_gc_keeps_every_interface_of_a_container(net: Tool) -> None:
    """Its id or its namespace's path will do, and one that the cache does not know has eth0."""
    net.succeed("add", "net", NETNS, "-i", "eth1")
    net.succeed("gc", "net", "--keep", NETNS, "--keep", "foreign")
    assert len(net.fakes.cached()) == 1
    assert valid(net) == [
        attachment(CONTAINER, "eth0"),
        attachment(CONTAINER, "eth1"),
        attachment("foreign"),
    ]


@pytest.mark.parametrize("text", ["", "a b", "c:", "c:a/b", ":eth0"])
def test_gc_refuses_what_names_nothing(net: Tool, text: str) -> None:
    assert "expected CONTAINER[:IFNAME]" in net.fail("gc", "net", "--keep", text)


# ---- status, time, signals -----------------------------------------------------------------------


def test_status(net: Tool) -> None:
    net.succeed("status", "net")
    net.succeed("status", "net", NETNS)
    net.fakes.fail("two", "STATUS", "no daemon", code=50)
    assert "failed (status): no daemon" in net.fail("status", "net")


def test_a_plugin_that_takes_too_long(net: Tool) -> None:
    net.fakes.plugin("two", "#!/bin/sh\n[ $CNI_COMMAND = DEL ] || exec sleep 1000\n")
    assert "did not end within 0.3 s" in net.fail("add", "net", NETNS, "--timeout", "0.3")
    assert net.fakes.order("DEL") == [("DEL", "one")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_undoes_an_add(net: Tool, number: signal.Signals) -> None:
    fifo = net.fakes.directory / "started"
    os.mkfifo(fifo)
    script = f"#!/bin/sh\n[ $CNI_COMMAND = DEL ] && exit\necho $$ >{fifo}\nexec sleep 1000\n"
    net.fakes.plugin("two", script)
    with subprocess.Popen(
        net.argv("add", "net", NETNS), env=net.env, stderr=subprocess.PIPE, text=True
    ) as process:
        pidfd = os.pidfd_open(int(fifo.read_text()))
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert said == f"cnitool: ended by {number.name}\n"
    assert select.select([pidfd], [], [], 10)[0], "the plugin is still there"
    os.close(pidfd)
    assert net.fakes.order() == [("ADD", "one"), ("DEL", "one")]


def test_rich_and_its_like_are_loaded_for_tables_only(net: Tool) -> None:
    heavy = "{'rich', 'pyroute2', 'netaddr', 'asyncio', 'subprocess', 'logging', 'typing'}"
    program = (
        "import sys; from cnitool.main import main; "
        f"status = main(sys.argv[1:]); print(sorted({heavy} & set(sys.modules))); sys.exit(status)"
    )
    for args in (["status", "net"], ["gc", "net", "--all"], ["list", "--json"]):
        done = subprocess.run(
            [sys.executable, "-S", "-c", program, *net.argv(*args)[3:]],
            env=net.env | {"PYTHONPATH": str(ROOT)},
            text=True,
            capture_output=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]"


def test_output_that_nobody_reads(net: Tool) -> None:
    with subprocess.Popen(
        net.argv("add", "net", NETNS),
        env=net.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (1, "")
    assert len(net.fakes.cached()) == 1


def test_names_that_the_locale_cannot_show(net: Tool) -> None:
    net.fakes.answer(
        "two", "ADD", json.dumps({"cniVersion": "1.1.0", "dns": {"domain": "é.example"}})
    )
    printed = net.succeed("add", "net", NETNS, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="C")
    assert json.loads(printed)["dns"] == {"domain": "é.example"}
