"""Kernel switches in throwaway namespaces; names that would lead elsewhere."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from hostnet import bridge, link, sysctl
from hostnet.netlink import Netlink
from hostnet.sysctl import SysctlError
from tests.kit.host import Host
from tests.kit.namespace import MNT_DETACH, MS_BIND, Namespace, in_thread, libc, mount

FORWARD = "net/ipv4/ip_forward"
CLONE_NEWNS = 0x00020000
MS_RDONLY = 1
MS_REMOUNT = 32


def test_read_write_ensure(host: Host) -> None:
    assert sysctl.read(FORWARD) == "0"
    sysctl.write(FORWARD, "1")
    assert sysctl.read(FORWARD) == "1"
    assert not sysctl.ensure(FORWARD, "1")
    assert sysctl.ensure(FORWARD, "0")
    assert host.command("cat", "/proc/sys/net/ipv4/ip_forward").stdout == "0\n"


def test_values_of_several_words(host: Host) -> None:
    before = sysctl.read("net/ipv4/ip_local_port_range")
    assert not sysctl.ensure("net/ipv4/ip_local_port_range", " ".join(before.split()))


def test_it_acts_where_the_thread_is(host: Host, container: Namespace) -> None:
    with container.open() as inside, inside.entered():
        sysctl.write(FORWARD, "1")
    assert sysctl.read(FORWARD) == "0"
    assert container.command("cat", "/proc/sys/net/ipv4/ip_forward").stdout == "1\n"


def test_a_link_whose_name_has_dots(host: Host) -> None:
    with Netlink() as nl:
        index = bridge.create(nl, "eth0.100").index
        sysctl.ensure(sysctl.of_interface("ipv4", "eth0.100", "arp_notify"), "1")
        assert sysctl.read("net/ipv4/conf/eth0.100/arp_notify") == "1"
        link.delete(nl, index)


@pytest.mark.parametrize(
    "interface",
    ["", ".", "..", "a/b", "../../../../etc", "all", "default", "a b", "sixteen-letters-", "a\0b"],
)
def test_what_is_no_interface(interface: str) -> None:
    with pytest.raises(ValueError, match="not the"):
        sysctl.of_interface("ipv4", interface, "arp_notify")


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "net/../../etc/passwd", "net//x", "net/x/", "."]
)
def test_what_is_no_sysctl(name: str) -> None:
    for act in (sysctl.read, lambda name: sysctl.write(name, "1")):
        with pytest.raises(ValueError, match="not the path of a sysctl"):
            act(name)


def test_a_missing_one_is_named(host: Host) -> None:
    with pytest.raises(SysctlError) as caught:
        sysctl.ensure("net/ipv4/conf/eth0/arp_notify", "1")
    assert caught.value.errno == errno.ENOENT
    assert str(caught.value) == (
        "cannot read sysctl net/ipv4/conf/eth0/arp_notify: No such file or directory (ENOENT); "
        "the kernel lacks the feature, or the interface does not exist"
    )


def test_a_wrong_value_is_named(host: Host) -> None:
    with pytest.raises(SysctlError) as caught:
        sysctl.write(FORWARD, "maybe")
    assert str(caught.value) == (
        'cannot set sysctl net/ipv4/ip_forward to "maybe": Invalid argument (EINVAL); '
        "the kernel does not take this value"
    )


def test_read_only_proc(host: Host) -> None:
    def inside() -> None:
        host.enter()
        libc("unshare", CLONE_NEWNS)
        proc = Path("/proc/sys")
        mount("/proc/sys", proc, "none", MS_BIND)
        mount("none", proc, "none", MS_BIND | MS_REMOUNT | MS_RDONLY)
        try:
            assert not sysctl.ensure(FORWARD, "0"), "right already, so no need to write"
            with pytest.raises(SysctlError, match="mounted read-only: remount it read-write"):
                sysctl.ensure(FORWARD, "1")
        finally:
            libc("umount2", b"/proc/sys", MNT_DETACH)

    in_thread(inside)
