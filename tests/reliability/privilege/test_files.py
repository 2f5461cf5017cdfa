"""What is kept in files is root's to read, whatever the umask; no link leads a writer astray."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni_host_local import index
from hostnet import directory
from hostnet.daemon import listen_unix
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import SYSTEM_DIRECTORIES, Host
from tests.kit.namespace import Namespace
from tests.reliability.privilege.scenes import CASES, Scene


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def kept() -> tuple[dict[str, int], dict[str, int]]:
    """The modes of files, and of directories, in the suite's default directories."""
    files: dict[str, int] = {}
    directories: dict[str, int] = {}
    for top in SYSTEM_DIRECTORIES:
        for one in top.rglob("*"):
            (directories if one.is_dir() else files)[str(one)] = one.lstat().st_mode & 0o777
    return files, directories


def test_of_a_chain_by_cnitool(
    built: Path, no_umask: None, host: Host, container: Namespace, tmp_path: Path
) -> None:
    """The results cache, which holds all arguments; addresses, their index, a backup of tuning."""
    host.share("sysctl *", "link cni0 *", "address dev cni0 *", "route *", "nft *")
    host.share_locks()
    plugins = [
        {
            "type": "bridge",
            "isGateway": True,
            "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"},
        },
        {"type": "tuning", "mtu": 1400},
    ]
    conflist = {"cniVersion": "1.1.0", "name": "net", "plugins": plugins}
    (tmp_path / "net.conflist").write_text(json.dumps(conflist))

    def tool(command: str, ifname: str) -> None:
        subprocess.run(
            [built / "cnitool", command, "--ifname", ifname, "net", str(container)],
            env={
                "CNI_PATH": str(built),
                "NETCONFPATH": str(tmp_path),
                "CNID_SOCKET": "",
                "CNI_ARGS": "IgnoreUnknown=1;TOKEN=s3cret",
            },
            check=True,
            capture_output=True,
            timeout=60,
        )

    names = [f"eth{n}" for n in range(index.FEW + 1)]  # so many that there is an index
    for name in names:
        tool("add", name)
    files, directories = kept()
    for name in names:
        tool("del", name)
    for part in ("/results/", "10.9.0.2", "/tuning/"):
        assert any(part in one for one in files), files
    assert set(files.values()) == {0o600}, files
    # Names of networks and addresses are for whoever counts them, as with the reference.
    open_ones = ("/var/lib/cni/networks", "/var/lib/cni/networks/net", "/run/cni/ipam-index")
    found = {one: mode for one, mode in directories.items() if mode & 0o077}
    assert found == dict.fromkeys(open_ones, 0o755)
    for top in SYSTEM_DIRECTORIES:
        for one in top.iterdir():
            shutil.rmtree(one)


def test_of_what_is_above(no_umask: None, tmp_path: Path) -> None:
    """A directory that is missing above one of ours is not everybody's."""
    for mode in (0o700, 0o755):
        made = tmp_path / f"{mode:o}" / "above" / "it"
        for _ in "twice":
            directory.make(str(made), mode)
        found = [one.stat().st_mode & 0o777 for one in (made, made.parent, made.parent.parent)]
        assert found == [mode, 0o755, 0o755]
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        directory.make(str(tmp_path / "file"), 0o700)


def test_of_a_daemons_socket(no_umask: None, tmp_path: Path) -> None:
    """cnid's and dhcp's, where no socket unit has made it, and that of the metrics."""
    path = tmp_path / "socket"
    with listen_unix(str(path), socket.SOCK_STREAM):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["last_reserved_ip.0", "lock", "10.9.0.2"])
def test_a_link_in_an_address_directory(
    name: str, host: Host, container: Namespace, tmp_path: Path
) -> None:
    """In a directory that somebody else can write to, a name may lead anywhere."""
    host.share_locks()
    scene = Scene(host, Runtime(tmp_path), container)
    CASES["host-local"].prepare(scene)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    directory = host.state / "net"
    directory.mkdir(mode=0o777)
    (directory / name).symlink_to(victim)
    if name == "lock":
        with pytest.raises(PluginError, match="symbolic links"):
            scene.call("ADD")
    else:
        scene.call("ADD")
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o644)
    (directory / name).unlink()
    scene.call("DEL")
