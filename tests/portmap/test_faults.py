"""A call that is killed, or that the kernel fails once, at any message: nothing stays behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from cni_portmap import flows
from hostnet.netlink import NetlinkError
from tests.kit.calls import PluginError
from tests.kit.faults import Fault, no_buffers, with_fault
from tests.kit.host import Host
from tests.portmap.conftest import Container, World, elements

NO_CLIENT = True
# Both kinds of port, UDP and conditions, of one IP version: every path, in half the points.
CONFIG: dict[str, Any] = {
    "runtimeConfig": {
        "portMappings": [
            {"hostPort": 8080, "containerPort": 80},
            {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "10.2.0.1"},
        ]
    },
    "conditionsV4": ["ip saddr != 192.0.2.1"],
}


def add(one: Container) -> None:
    one.add(**CONFIG, prevResult=one.result(one.four))


@pytest.mark.parametrize("method", ["_send", "_receive"])
def test_add_is_complete_or_undone(method: str, world: World, one: Container) -> None:
    one.add(8000)
    one.delete()
    failed = 0
    for at in range(1, 500):
        fault = Fault(method, at, no_buffers)
        try:
            with_fault(fault, lambda: add(one))
        except PluginError:
            failed += 1
            assert elements() == "", f"left after the fault at {at}"
        else:
            one.check(one.config(**CONFIG, prevResult=one.result(one.four)))
            one.delete()
        if not fault.struck():
            break
    assert failed > 20


@pytest.mark.parametrize("method", ["_send", "_receive"])
def test_del_again_is_clean(method: str, world: World, one: Container) -> None:
    failed = 0
    for at in range(1, 500):
        add(one)
        fault = Fault(method, at, no_buffers)
        try:
            with_fault(fault, one.delete)
        except PluginError:
            failed += 1
        else:
            assert elements() == "", f"said to be gone after the fault at {at}"
        one.delete()
        assert elements() == ""
        if not fault.struck():
            break
    assert failed > 10


@pytest.mark.parametrize("verb", ["add", "delete"])
def test_killed_anywhere_then_del(verb: str, world: World, one: Container) -> None:
    def kill() -> None:
        os._exit(9)

    one.add(8000)
    one.delete()
    end = at = -1
    for at in range(1, 500):
        if verb == "delete":
            add(one)
        child = os.fork()
        if child == 0:
            with_fault(
                Fault("_send", at, kill),
                lambda: add(one) if verb == "add" else one.delete(),
            )
            os._exit(0)
        end = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        one.delete()
        assert elements() == "", f"left by a call killed at {at}"
        if end == 0:
            break
    assert end == 0
    assert at > 10


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
@pytest.mark.parametrize("was", ["0", "2"])
def test_a_failed_add_puts_route_localnet_back(
    was: str, backend: str, host: Host, world: World, one: Container
) -> None:
    """Of a container's own link; a bridge has other containers that may need it by now."""
    host.share("nft * ip *", "nft * ip6 *")
    apart = host.container("apart")
    world.connect(apart, "apart", "10.5.0.2/24", bridge="")
    result = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "eth0", "sandbox": str(apart)}],
        "ips": [{"interface": 0, "address": "10.5.0.2/24"}],
    }
    switches = {
        name: Path(f"/proc/sys/net/ipv4/conf/{name}/route_localnet") for name in ("apart", "br0")
    }
    udp = {"hostPort": 53, "containerPort": 53, "protocol": "udp"}
    for name, previous in (("apart", result), ("br0", one.result(one.four))):
        switches[name].write_text(was)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flows, "forget_older", _no_buffers)
            with pytest.raises(PluginError, match="cannot delete tracked connections"):
                one.add(udp, prevResult=previous, backend=backend)
        assert switches[name].read_text().strip() == (was if name == "apart" else "1")
        switches[name].write_text("0")
        one.delete()


def _no_buffers(*_: object) -> None:
    raise NetlinkError(errno.ENOBUFS, "delete tracked connections")
