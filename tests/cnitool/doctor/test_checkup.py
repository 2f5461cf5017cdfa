"""`cnitool doctor` on throwaway hosts, healthy and not."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cni import __version__
from cni.record import replace
from cnitool.doctor import checkup, install, kernel, networks, system
from cnitool.doctor.model import ERROR, NOTE, OK, WARNING, Finding, Host
from cnitool.settings import Settings, read_settings
from cnitool.state import world
from cnitool.state.world import World
from tests.cnitool.attached import Network
from tests.kit.host import Host as ThrowawayHost

SCRIPT = """#!/bin/sh
echo 'CNI {name} plugin v1.9.1{suite}' >&2
if [ "$CNI_COMMAND" = VERSION ]; then
    echo '{{"cniVersion":"1.1.0","supportedVersions":["1.0.0","1.1.0"]}}'
fi
"""


@pytest.fixture
def network(network: Network) -> Network:
    """With executables that say whose they are."""
    installed(network).mkdir()
    for name in ("bridge", "host-local", "portmap", "firewall"):
        executable(network, name)
    return network


def installed(network: Network) -> Path:
    """CNI_PATH; what the network itself is called by lies elsewhere."""
    return network.directory.parent / "installed"


def executable(network: Network, name: str, suite: str = f"+pycni.{__version__}") -> Path:
    """A plugin that says whose it is."""
    path = installed(network) / name
    path.unlink(missing_ok=True)
    path.write_text(SCRIPT.format(name=name, suite=suite))
    path.chmod(0o755)
    return path


def here(network: Network, **environ: str) -> Settings:
    """The settings of a host without a daemon, if not said otherwise."""
    return replace(
        network.settings,
        path=(str(installed(network)),),
        environ={"CNID_SOCKET": "", **environ},
    )


def examined(network: Network, **environ: str) -> Host:
    settings = here(network, **environ)
    seen = world.read(settings)
    return Host(settings, seen, frozenset({"bridge", "host-local", "portmap", "firewall"}))


def levels(found: Iterator[Finding]) -> list[str]:
    return [one.level for one in found]


def of_level(found: Iterator[Finding], level: str) -> list[Finding]:
    return [one for one in found if one.level == level]


def test_a_healthy_host(
    network: Network, host: ThrowawayHost, capsys: pytest.CaptureFixture[str]
) -> None:
    netns = host.container("one")
    network.add("c1", netns, 8080)
    settings = here(network)
    assert checkup.run(settings, as_json=False) == 0
    text = capsys.readouterr().out
    assert "0 errors, 0 warnings" in text
    assert "\x1b" not in text
    assert checkup.run(settings, as_json=True) == 0
    document: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {one["area"] for one in document} >= {area for area, _ in checkup.CHECKS}
    network.delete("c1", netns)


def test_every_remedy_is_said(network: Network) -> None:
    """What is no praise tells what to do."""
    os.unlink(installed(network) / "portmap")
    found = list(checkup.examine(examined(network)))
    assert [one for one in found if one.level not in (OK, NOTE) and not one.remedy] == []


# ---- the kernel


def test_kinds_of_links_are_tried_and_leave_nothing(network: Network, host: ThrowawayHost) -> None:
    before = host.links()
    found = list(kernel.links(examined(network)))
    assert host.links() == before
    missing = {one.text.split()[7].rstrip(",;") for one in found if one.level != OK}
    assert missing <= set(kernel.KINDS)
    for kind in kernel.KINDS:
        done = host.popen("ip", "link", "add", "try0", "type", kind)
        made = done.wait(20) == 0
        if made:
            host.command("ip", "link", "delete", "try0")
            assert kind not in missing
        elif kind not in ("vxlan", "macvlan", "ipvlan", "vlan", "vrf"):  # these want more words
            assert kind in missing


def test_a_kind_that_a_network_needs_is_an_error(network: Network) -> None:
    seen = examined(network)
    missing = kernel._missing()
    assert missing is not None
    if not missing:
        pytest.skip("this kernel lacks no kind of link")
    users = kernel.KINDS[missing[0]]
    found = kernel.links(replace(seen, plugins=frozenset(users)))
    (error,) = of_level(found, ERROR)
    assert f"links of kind {missing[0]}, which {users[0]} need" in error.text
    assert error.remedy.startswith("modprobe ")


def test_nftables(network: Network) -> None:
    assert levels(kernel.filters(examined(network))) == [OK]


# ---- sysctls and filters


def test_a_host_that_does_not_forward(network: Network, host: ThrowawayHost) -> None:
    netns = host.container("one")
    network.add("c1", netns)
    assert levels(system.settings(examined(network)))[-1] == OK
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    (error,) = of_level(system.settings(examined(network)), ERROR)
    assert OK not in levels(system.settings(examined(network)))
    assert "does not forward IPv4" in error.text
    assert "sysctl -w net.ipv4.ip_forward=1" in error.remedy
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    network.delete("c1", netns)


def test_a_chain_that_drops_by_policy(network: Network, host: ThrowawayHost) -> None:
    """Of nftables with the command that opens it, of Docker's with the plugin that does."""
    assert levels(system.forwarding(examined(network))) == [OK]
    chain = "add chain inet mine onward { type filter hook forward priority 0; policy drop; }"
    host.command("nft", "-f", "-", stdin=f"add table inet mine\n{chain}\n")
    (warning,) = of_level(system.forwarding(examined(network)), WARNING)
    assert "chain onward of the nftables table inet mine drops" in warning.text
    assert warning.remedy.startswith("nft insert rule inet mine onward meta mark")
    host.command("nft", "delete", "table", "inet", "mine")
    for command in ("-N DOCKER-USER", "-P FORWARD DROP"):
        host.command("iptables", "-w", *command.split())
    (warning,) = of_level(system.forwarding(examined(network)), WARNING)
    assert warning.text.startswith("Docker's iptables (nft, IPv4) drops what is forwarded")
    assert '{"type": "firewall"}' in warning.remedy
    for command in ("-P FORWARD ACCEPT", "-X DOCKER-USER"):
        host.command("iptables", "-w", *command.split())


def test_the_references_leftovers(network: Network, host: ThrowawayHost) -> None:
    assert levels(system.others(examined(network))) == []
    host.command("nft", "add", "table", "inet", "cni_plugins_masquerade")
    (note,) = system.others(examined(network))
    assert (note.level, "cni_plugins_masquerade" in note.text) == (NOTE, True)
    host.command("nft", "delete", "table", "inet", "cni_plugins_masquerade")


# ---- executables and the daemon


def test_executables(network: Network) -> None:
    """Missing, not to be run, another suite's, another version's."""
    assert levels(install.executables(examined(network))) == [OK]
    (installed(network) / "portmap").unlink()
    (error,) = of_level(install.executables(examined(network)), ERROR)
    assert "portmap" in error.text
    assert error.remedy == f"make install BINDIR={installed(network)}"
    executable(network, "portmap").write_bytes(b"\x7fELF nothing")
    (error,) = of_level(install.executables(examined(network)), ERROR)
    assert "portmap cannot be run" in error.text
    executable(network, "portmap", "")
    (note,) = of_level(install.executables(examined(network)), NOTE)
    assert "another suite's: CNI portmap plugin v1.9.1" in note.text
    executable(network, "portmap", "+pycni.0.0.7")
    (warning,) = of_level(install.executables(examined(network)), WARNING)
    assert "of another version than this cnitool" in warning.text


def test_the_daemon(network: Network, tmp_path: Path) -> None:
    (note,) = install.daemon(examined(network))
    assert (note.level, note.remedy) == (NOTE, "systemctl enable --now cnid.socket")
    path = tmp_path / "cnid.sock"
    path.touch()
    (error,) = install.daemon(examined(network, CNID_SOCKET=str(path)))
    assert (error.level, error.text) == (ERROR, f"{path} is no socket")
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as nobody:
        nobody.bind(str(path))
        (warning,) = install.daemon(examined(network, CNID_SOCKET=str(path)))
        assert "no cnid listens: every call starts Python" in warning.text
        nobody.listen()
        (warning,) = install.daemon(examined(network, CNID_SOCKET=str(path)))
        assert "no cnid answers: calls wait for it" in warning.text
        said = installed(network) / "cnid"
        said.write_text('#!/bin/sh\necho \'{"build": "1.2.3", "lost": 2}\'\n')
        said.chmod(0o755)
        lost, fine = install.daemon(examined(network, CNID_SOCKET=str(path)))
        assert (lost.level, lost.text) == (WARNING, "2 calls were lost with a worker that died")
        assert (fine.level, fine.text) == (OK, "cnid 1.2.3 runs")


# ---- networks


def test_a_file_with_mistakes(network: Network) -> None:
    (fine,) = networks.configurations(examined(network))
    assert (fine.level, fine.text) == (OK, "net: valid, and STATUS is fine")
    path = network.directory / "10-net.conflist"
    new = path.read_text()
    path.write_text(new.replace('"1.1.0"', '"1.0.0"'))
    (fine,) = networks.configurations(examined(network))
    assert fine.level == OK
    assert fine.text.startswith('net: valid, and not asked for STATUS, which "cniVersion" 1.0.0')
    path.write_text(new)
    path.write_text(path.read_text().replace("isDefaultGateway", "isDefaultGatway"))
    (error,) = networks.configurations(examined(network))
    assert (error.level, error.remedy) == (ERROR, "cnitool validate net")
    assert 'did you mean "isDefaultGateway"?' in error.text
    (network.directory / "20.conflist").write_text("{")
    assert len(of_level(networks.configurations(examined(network)), ERROR)) == 2
    for file in network.directory.iterdir():
        file.unlink()
    (warning,) = networks.configurations(examined(network))
    assert warning.text == f"no network in {network.directory}"


def test_a_network_that_could_not_serve(network: Network) -> None:
    path = executable(network, "bridge")
    refusal = '{"cniVersion": "1.1.0", "code": 50, "msg": "no bridge today"}'
    path.write_text(
        f"{path.read_text()}[ $CNI_COMMAND = STATUS ] && echo '{refusal}' && exit 1\nexit 0\n"
    )
    (error,) = networks.configurations(examined(network))
    assert "network net could not serve an ADD" in error.text
    assert "no bridge today" in error.text


def test_what_the_dead_hold(network: Network, host: ThrowawayHost) -> None:
    living, ended = host.container("living"), host.container("ended")
    network.add("c1", living)
    network.add("c2", ended)
    assert levels(networks.leftovers(examined(network))) == [OK]
    ended.close()
    (warning,) = networks.leftovers(examined(network))
    assert warning.text == "network net: 1 attachments of containers that have ended"
    network.delete("c2", ended)
    (network.data_dir / "net" / "10.1.0.2").unlink()
    (conflict,) = of_level(networks.leftovers(examined(network)), WARNING)
    assert conflict.remedy == "cnitool inspect c1"
    network.delete("c1", living)


def test_ranges_that_fill_up(network: Network) -> None:
    assert levels(networks.ranges(examined(network))) == [OK]
    folder = network.data_dir / "net"
    folder.mkdir(parents=True)
    for number in range(2, 240):
        (folder / f"10.1.0.{number}").write_text(f"c{number}\r\neth0")
    (warning,) = networks.ranges(examined(network))
    assert (warning.level, warning.text) == (
        WARNING,
        "network net: 15 of 253 addresses are free",
    )
    for number in range(240, 255):
        (folder / f"10.1.0.{number}").write_text(f"c{number}\r\neth0")
    (error,) = networks.ranges(examined(network))
    assert (error.level, error.text) == (
        ERROR,
        "network net: no address is free in 10.1.0.1-10.1.0.254",
    )
    shutil.rmtree(network.data_dir)


def test_a_check_that_fails_is_a_finding(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the others are made."""

    def refuse(_host: Host) -> Iterator[Finding]:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(checkup, "CHECKS", (("kernel", refuse), ("ipam", networks.ranges)))
    first, second = checkup.examine(examined(network))
    assert (first.level, first.remedy) == (WARNING, "run it as root")
    assert second.area == "ipam"


def test_an_empty_world(tmp_path: Path, host: ThrowawayHost) -> None:
    """No configuration, no cache, no plugins: no traceback."""
    del host
    settings = read_settings({"NETCONFPATH": str(tmp_path / "none")}, "", str(tmp_path), 0)
    seen = world.read(settings)
    assert isinstance(seen, World)
    assert list(checkup.examine(Host(settings, seen, frozenset())))
