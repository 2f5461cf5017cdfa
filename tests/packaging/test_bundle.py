"""The built executables: in place, copied every way, and in every poor environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cni_bundle.plugins import PLUGINS
from tests.kit.host import Host
from tests.kit.namespace import Namespace

ENTRIES = sorted(PLUGINS)
VERSION = {"CNI_COMMAND": "VERSION"}


def call(
    path: Path, environ: dict[str, str], stdin: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [path], env=environ, input=stdin, text=True, capture_output=True, check=False, cwd=cwd
    )


def versions(path: Path, environ: dict[str, str] | None = None, cwd: Path | None = None) -> object:
    done = call(path, environ or VERSION, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)["supportedVersions"]


def test_one_entry_for_each_plugin_and_the_tool(built: Path) -> None:
    files = {path.name for path in built.iterdir() if path.is_file()}
    assert files == {*ENTRIES, "cnid", "cnitool"}
    assert [path.name[:10] for path in built.iterdir() if path.is_dir()] == ["pycni-lib-"]


@pytest.mark.parametrize("name", ENTRIES)
def test_answers_version(built: Path, name: str) -> None:
    assert "1.1.0" in str(versions(built / name))


@pytest.mark.parametrize("name", ENTRIES)
def test_run_by_hand_it_says_what_it_is(built: Path, name: str) -> None:
    done = call(built / name, {})
    assert done.returncode != 0
    assert name in done.stderr
    assert "1.1.0" in done.stderr
    assert json.loads(done.stdout)["code"] == 4


def test_the_tool_has_all_its_libraries(built: Path, tmp_path: Path) -> None:
    """It is built without much of the standard library: a table, an error and the help."""
    conflist = {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge", "mtuu": 1}]}
    (tmp_path / "net.conflist").write_text(json.dumps(conflist))
    environ = {"NETCONFPATH": str(tmp_path), "CNI_PATH": str(built)}
    for arguments, word in (
        (["list"], "bridge"),
        (["validate", "net"], '"mtu"'),
        (["-h"], "CNI_ARGS"),
    ):
        done = subprocess.run(
            [built / "cnitool", *arguments],
            env=environ, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert word in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def _whole(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", source, target], check=True)


def _dereferenced(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-rL", source, target], check=True)


def _tar(source: Path, target: Path) -> None:
    target.mkdir()
    packed = subprocess.run(["tar", "-C", source, "-c", "."], check=True, capture_output=True)
    subprocess.run(["tar", "-C", target, "-x"], check=True, input=packed.stdout)


def _python(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


@pytest.mark.parametrize("copy", [_whole, _dereferenced, _tar, _python])
def test_works_where_it_is_copied(
    built: Path, tmp_path: Path, copy: Callable[[Path, Path], None]
) -> None:
    there = tmp_path / "other place"
    copy(built, there)
    for name in ENTRIES:
        versions(there / name)


def test_works_through_a_link_under_another_name(built: Path, tmp_path: Path) -> None:
    link = tmp_path / "my-bridge"
    link.symlink_to(built / "bridge")
    versions(link)


def test_an_unknown_name_is_told_what_there_is(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "bin")
    renamed = (tmp_path / "bin" / "bridge").rename(tmp_path / "bin" / "brigde")
    done = call(renamed, {"CNI_COMMAND": "STATUS", "CNID_SOCKET": ""})
    assert done.returncode == 1
    assert "brigde: no plugin of that name" in done.stderr
    assert "host-local" in done.stderr


def test_works_where_the_directory_cannot_be_read(built: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'rmdir "$1" && exec "$2"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", gone, built / "bridge"],
        env=VERSION, cwd=gone, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["cniVersion"] == "1.1.0", done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_works_with_closed_streams(built: Path, tmp_path: Path, closed: str) -> None:
    """A closed stream's number must not be taken by a file that the answer then lands in."""
    status = tmp_path / "status"
    script = f'"$1" {closed}; echo $? > "$2"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", built / "bridge", status],
        env=VERSION, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert status.read_text() == "0\n", done.stderr
    if ">&-" not in closed.replace("2>&-", ""):
        assert json.loads(done.stdout)["cniVersion"] == "1.1.0"


def test_a_full_disk_behind_stdout_is_a_failure(built: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [built / "bridge"], env=VERSION, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode != 0


@pytest.mark.parametrize(
    "hostile",
    [
        {"LD_LIBRARY_PATH": "/nowhere"},
        {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PYTHONSTARTUP": "/nowhere"},
        {"LANG": "tlh_KX.KOI8-R", "LC_ALL": "nowhere"},
        {"_PYI_PARENT_PROCESS_LEVEL": "2", "_PYI_APPLICATION_HOME_DIR": "/nowhere"},
        {"_MEIPASS2": "/nowhere"},
    ],
)
def test_a_hostile_environment_changes_nothing(built: Path, hostile: dict[str, str]) -> None:
    assert "1.1.0" in str(versions(built / "bridge", {**VERSION, **hostile}))


def test_called_by_a_process_of_the_same_executable(built: Path) -> None:
    """A foreign plugin in between may pass on what an executable of ours passed to it."""
    notes = {"_PYI_ARCHIVE_FILE": str(built / "bridge"), "_PYI_PARENT_PROCESS_LEVEL": "0"}
    assert "1.1.0" in str(versions(built / "bridge", {**VERSION, **notes}))


@pytest.mark.parametrize("before", [None, "/some/where"])
def test_a_delegate_sees_the_callers_environment(
    built: Path, host: Host, tmp_path: Path, container: Namespace, before: str | None
) -> None:
    """What the bootloader sets for itself would make foreign programs load our libraries."""
    seen = tmp_path / "seen"
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\n[ -e {seen} ] || env -0 > {seen}\nexit 1\n")
    spy.chmod(0o755)
    environ = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "one",
        "CNI_NETNS": str(container),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(tmp_path),
        "PATH": os.environ["PATH"],
        "MARK": "x",
    }
    if before is not None:
        environ["LD_LIBRARY_PATH"] = before
    config = {
        "cniVersion": "1.0.0",
        "name": "n",
        "type": "bridge",
        "bridge": "b0",
        "ipam": {"type": "spy"},
    }
    done = call(built / "bridge", environ, json.dumps(config))
    assert done.returncode != 0
    lines = (one.partition("=") for one in seen.read_text().split("\0") if one)
    passed = {key: value for key, _, value in lines if key not in ("PWD", "_", "OLDPWD", "SHLVL")}
    assert passed == environ


def _system_libraries(names: set[str]) -> set[str]:
    """Where the dynamic loader would find these libraries if the bundle had none."""
    cache = subprocess.run(
        ["/sbin/ldconfig", "-p"], check=True, text=True, capture_output=True
    ).stdout
    found = (line.strip().partition(" ") for line in cache.splitlines())
    return {os.path.realpath(rest.rpartition("=> ")[2]) for name, _, rest in found if name in names}


def test_needs_neither_python_nor_libnftables_on_the_machine(
    built: Path, host: Host, container: Namespace
) -> None:
    """ADD and DEL with both hidden: what they use comes out of the bundle."""
    host.share_bridge("b0")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *")
    (contents,) = built.glob("pycni-lib-*")
    bundled = {path.name for path in contents.glob("lib*.so.*")}
    assert "libnftables.so.1" in bundled
    # The bootloader itself is linked with zlib, which no Debian is without.
    hidden = _system_libraries(bundled - {"libz.so.1"})
    assert any("libnftables" in path for path in hidden), hidden
    config = {
        "cniVersion": "1.0.0",
        "name": "n",
        "type": "bridge",
        "bridge": "b0",
        "isGateway": True,
        "ipMasq": True,
        "ipMasqBackend": "nftables",
        "ipam": {
            "type": "host-local",
            "dataDir": str(host.state),
            "ranges": [[{"subnet": "10.1.0.0/24"}]],
        },
    }
    script = """
        for library in $HIDDEN; do mount --bind /dev/null "$library"; done
        for python in /usr/lib/python3*; do mount -t tmpfs none "$python"; done
        exec "$1"
    """
    for command in ("ADD", "DEL"):
        environ = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "one",
            "CNI_NETNS": str(container),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(built),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HIDDEN": " ".join(hidden),
        }
        done = subprocess.run(
            ["unshare", "-m", "/bin/sh", "-e", "-c", script, "sh", built / "bridge"],
            env=environ, input=json.dumps(config), text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
