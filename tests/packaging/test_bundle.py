"""The built executables: in place, copied every way, and in every poor environment.

VERSION is the launcher's own; whatever else is asked here asks Python, with the daemon disabled.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cni_bundle.plugins import PLUGINS
from tests.kit.etcd import Authority, EtcdServer
from tests.kit.host import Host
from tests.kit.namespace import Namespace

ENTRIES = sorted(PLUGINS)
VERSION = {"CNI_COMMAND": "VERSION"}
STATUS = {"CNI_COMMAND": "STATUS", "CNI_PATH": "/nowhere", "CNID_SOCKET": ""}
CONFIG = json.dumps({"cniVersion": "1.1.0", "name": "n", "type": "loopback"})
SECONDS = 20


def call(
    path: Path | str, environ: dict[str, str], stdin: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [path], env=environ, input=stdin, text=True, capture_output=True, check=False, cwd=cwd,
        timeout=SECONDS,
    )  # fmt: skip


def assert_serves(
    path: Path | str, environ: dict[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Both halves of a plugin answer: the launcher, and the Python that it executes."""
    done = call(path, {**VERSION, **(environ or {})}, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1.1.0" in json.loads(done.stdout)["supportedVersions"]
    if os.path.basename(os.path.realpath(path)) == "loopback":  # whose STATUS always succeeds
        done = call(path, {**STATUS, **(environ or {})}, CONFIG, cwd)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = call(path, {**STATUS, **(environ or {})}, "no JSON", cwd)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["code"] == 6


def test_one_entry_for_each_plugin_and_the_tool(built: Path) -> None:
    files = {path.name for path in built.iterdir() if path.is_file()}
    assert files == {*ENTRIES, "cnid", "cnitool"}
    assert [path.name[:10] for path in built.iterdir() if path.is_dir()] == ["pycni-lib-"]


@pytest.mark.parametrize("name", ENTRIES)
def test_serves(built: Path, name: str) -> None:
    assert_serves(built / name)


@pytest.mark.parametrize("name", ENTRIES)
def test_version_needs_no_python(built: Path, tmp_path: Path, name: str) -> None:
    alone = shutil.copy2(built / name, tmp_path)
    by_launcher = call(alone, VERSION)
    assert (by_launcher.returncode, by_launcher.stderr) == (0, "")
    by_python = subprocess.run(
        [built / name],
        executable=python_half(built), env=VERSION, text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert by_launcher.stdout == by_python.stdout


@pytest.mark.parametrize("name", ENTRIES)
def test_without_a_verb_it_says_its_version(built: Path, name: str) -> None:
    done = call(built / name, {})
    assert (done.returncode, done.stdout) == (0, "")
    assert guessed_version(done.stderr, name) >= (1, 7, 1)
    assert "\nCNI protocol versions supported: 0.1.0, " in done.stderr


@pytest.mark.parametrize("verb", ["", "version"])
def test_a_verb_that_is_none_is_an_error(built: Path, verb: str) -> None:
    done = call(built / "firewall", {"CNI_COMMAND": verb})
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["code"] == 4


def guessed_version(stderr: str, name: str) -> tuple[int, ...]:
    """As nerdctl's `guessFirewallPluginVersion`: of the first line with the prefix, by semver."""
    prefix = f"CNI {name} plugin "
    first = next(line for line in stderr.split("\n") if line.startswith(prefix))
    part = "[0-9A-Za-z-]+"
    found = re.fullmatch(
        rf"v?(\d+)\.(\d+)\.(\d+)(?:\+{part}(?:\.{part})*)?", first.removeprefix(prefix)
    )
    assert found, first
    return tuple(int(number) for number in found.groups())


def python_half(built: Path) -> Path:
    (found,) = built.glob("pycni-lib-*/pycni")
    return found


def test_without_its_library_it_says_so(built: Path, tmp_path: Path) -> None:
    alone = shutil.copy2(built / "loopback", tmp_path)
    done = call(alone, STATUS, CONFIG)
    assert done.returncode == 1
    assert f"{tmp_path}/{python_half(built).relative_to(built)}: No such file" in done.stderr
    assert "belong together: install both anew" in done.stderr


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
        assert_serves(there / name)


def test_works_by_a_relative_path(built: Path) -> None:
    assert_serves("./loopback", cwd=built)
    assert_serves(f"{built.name}/loopback", cwd=built.parent)


def test_works_through_links(built: Path, tmp_path: Path) -> None:
    """To the file under another name, to the directory, and from one to the other."""
    (tmp_path / "my-loopback").symlink_to(built / "loopback")
    (tmp_path / "bin").symlink_to(built)
    (tmp_path / "both").symlink_to("bin/loopback")
    for path in ("my-loopback", "bin/loopback", "both"):
        assert_serves(tmp_path / path)
        assert_serves(f"./{path}", cwd=tmp_path)


def test_works_by_a_name_found_on_the_path(built: Path) -> None:
    """A shell gives it a bare name as argv[0], which says nothing of where it is."""
    done = subprocess.run(
        ["/bin/sh", "-c", "loopback"],
        env={**STATUS, "PATH": str(built)}, input=CONFIG, text=True, capture_output=True,
        check=False, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("copy", [_whole, _python])
def test_a_copy_delegates_in_process(
    built: Path,
    tmp_path: Path,
    host: Host,
    container: Namespace,
    copy: Callable[[Path, Path], None],
) -> None:
    """Neither `cp -r` nor shutil keeps hard links: host-local is another file with the same bytes.

    Nothing is executed for it: strace sees one program start, and Python in it (the bootloader
    starts it a second time).
    """
    host.share_bridge("b0")
    host.share_locks()
    host.share("sysctl *")
    there = tmp_path / "bin"
    copy(built, there)
    assert not (there / "bridge").samefile(there / "host-local")
    config = {
        "cniVersion": "1.0.0",
        "name": "n",
        "type": "bridge",
        "bridge": "b0",
        "ipam": {
            "type": "host-local",
            "dataDir": str(host.state),
            "ranges": [[{"subnet": "10.1.0.0/24"}]],
        },
    }
    environ = {
        **STATUS,
        "CNI_CONTAINERID": "one",
        "CNI_NETNS": str(container),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(there),
    }
    trace = tmp_path / "trace"
    for command in ("ADD", "DEL"):
        done = subprocess.run(
            ["strace", "-f", "-qq", "-e", "trace=execve", "-o", trace, there / "bridge"],
            env={**environ, "CNI_COMMAND": command, "PATH": os.environ["PATH"]},
            input=json.dumps(config), text=True, capture_output=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        executed = re.findall(r'execve\("([^"]*)"', trace.read_text())
        assert executed == [str(there / "bridge"), str(python_half(there))]


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
        ["/bin/sh", "-c", script, "sh", gone, built / "loopback"],
        env=STATUS, input=CONFIG, cwd=gone, text=True, capture_output=True, check=False,
        timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("environ", [VERSION, STATUS], ids=["VERSION", "STATUS"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_works_with_closed_streams(
    built: Path, tmp_path: Path, closed: str, environ: dict[str, str]
) -> None:
    """A closed stream's number must not be taken by a file that the answer then lands in."""
    status = tmp_path / "status"
    script = f'"$1" {closed}; echo $? > "$2"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", built / "loopback", status],
        env=environ, input=CONFIG, text=True, capture_output=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    no_stdin = "<&-" in closed
    no_stdout = ">&-" in closed.replace("2>&-", "")
    if environ == VERSION:
        # The launcher hands over to Python what it cannot print.
        assert status.read_text() == "0\n", done.stderr
        assert no_stdout or json.loads(done.stdout)["cniVersion"] == "1.1.0"
    else:
        assert status.read_text() == f"{int(no_stdin)}\n", done.stderr
        assert bool(done.stdout) == (no_stdin and not no_stdout)
        assert not done.stdout or json.loads(done.stdout)["code"] == 6


@pytest.mark.parametrize("environ", [VERSION, STATUS], ids=["VERSION", "STATUS"])
def test_a_full_disk_behind_stdout_is_a_failure(built: Path, environ: dict[str, str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [built / "loopback"], env=environ, input=b"no JSON", stdout=full,
            stderr=subprocess.PIPE, check=False, timeout=SECONDS,
        )  # fmt: skip
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
    assert_serves(built / "loopback", hostile)


def test_called_by_a_process_of_the_same_executable(built: Path) -> None:
    """A foreign plugin in between may pass on what an executable of ours passed to it."""
    for archive in (python_half(built), built / "loopback"):
        notes = {"_PYI_ARCHIVE_FILE": str(archive), "_PYI_PARENT_PROCESS_LEVEL": "0"}
        assert_serves(built / "loopback", notes)


@pytest.mark.parametrize("before", [None, "/some/where"])
def test_a_delegate_sees_the_callers_environment(
    built: Path, host: Host, tmp_path: Path, container: Namespace, before: str | None
) -> None:
    """Whatever the executable finds its own libraries by, foreign programs must not load them."""
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
        "CNID_SOCKET": "",
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
    hidden = _system_libraries(bundled)
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
    add_and_delete(built / "bridge", config, container, hidden)


def test_needs_no_openssl_on_the_machine(
    built: Path, host: Host, container: Namespace, tmp_path: Path
) -> None:
    """The same of an etcd that wants TLS."""
    (contents,) = built.glob("pycni-lib-*")
    bundled = {path.name for path in contents.glob("lib*.so.*")}
    hidden = _system_libraries(bundled)
    assert any("libssl" in path for path in hidden), hidden
    authority = Authority(tmp_path / "tls")
    files = authority.issue("etcd", "IP:127.0.0.1")
    with EtcdServer(host, tmp_path / "etcd", files=files, wants_certificate=True) as etcd:
        ipam = {
            "type": "etcd-ipam",
            "endpoints": [etcd.url],
            "node": "n1",
            "ranges": [[{"subnet": "10.1.0.0/24"}]],
            **authority.issue("client")._asdict(),
        }
        config = {"cniVersion": "1.0.0", "name": "n", "type": "etcd-ipam", "ipam": ipam}
        add_and_delete(built / "etcd-ipam", config, container, hidden)


def add_and_delete(
    plugin: Path, config: Mapping[str, object], container: Namespace, hidden: set[str]
) -> None:
    """Call a plugin where there is no Python, and none of these libraries."""
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
            "CNI_PATH": str(plugin.parent),
            "CNID_SOCKET": "",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HIDDEN": " ".join(hidden),
        }
        done = subprocess.run(
            ["unshare", "-m", "/bin/sh", "-e", "-c", script, "sh", plugin],
            env=environ, input=json.dumps(config), text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
