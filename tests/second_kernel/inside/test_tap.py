"""`tap` on a kernel with SELinux. No policy is loaded, so that every context will do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.errors import SYSTEM
from hostnet import selinux
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import MNT_DETACH, Namespace, libc, mount


@pytest.fixture
def _selinux() -> Iterator[None]:
    """Its file system, without which it counts as switched off."""
    mount("none", Path("/sys/fs/selinux"), "selinuxfs")
    yield
    libc("umount2", b"/sys/fs/selinux", MNT_DETACH)


@pytest.mark.usefixtures("_selinux")
def test_a_context(
    runtime: Runtime, host: Host, container: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Iproute2 makes the device, in the context, and nothing else is then started in it."""
    context = "system_u:system_r:container_t:s0"
    config = {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "tap",
        "selinuxContext": context,
        "multiQueue": True,
        "owner": 54321,
        "group": 54322,
        "mtu": 1400,
    }
    asked: list[str] = []
    monkeypatch.setattr(selinux, "_set", asked.append)
    result = runtime.add(config, netns=container)
    assert asked == [context, ""]
    monkeypatch.undo()
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    result = runtime.add(config, netns=container)
    runtime.check(config, result, netns=container)
    assert Path("/proc/thread-self/attr/exec").read_bytes() == b""
    runtime.delete(config, netns=container)
    container.command("ip", "tuntap", "add", "mode", "tap", "name", "eth1")
    with pytest.raises(PluginError, match="eth1 already exists"):
        runtime.add(config, netns=container, ifname="eth1")
    container.command("ip", "link", "delete", "eth1")
    monkeypatch.setattr(selinux, "_NEXT", "/proc/thread-self/attr/none")
    with pytest.raises(PluginError, match=f'cannot be started as "{context}"') as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == SYSTEM
    assert set(container.links()) == {"lo"}
