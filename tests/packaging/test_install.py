"""`cnitool install` and `uninstall`: replace a suite in use, and bring it back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = {
    "bandwidth",
    "bridge",
    "cnitool",
    "dhcp",
    "dummy",
    "etcd-ipam",
    "firewall",
    "host-device",
    "host-local",
    "ipvlan",
    "loopback",
    "macvlan",
    "portmap",
    "ptp",
    "sbr",
    "static",
    "tap",
    "tuning",
    "vlan",
    "vrf",
    "vxlan",
}
UNITS = ["cni-dhcp.service", "cni-dhcp.socket", "cnid.service", "cnid.socket"]


def cnitool(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "cnitool", *arguments]
    return subprocess.run(
        command, check=True, text=True, capture_output=True, cwd=ROOT, timeout=60
    ).stdout


def install(built: Path, *arguments: str | Path) -> str:
    return cnitool("install", "--from", built, *arguments)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A directory with a plugin of somebody else's, as /opt/cni/bin is."""
    directory = tmp_path / "opt cni bin"
    directory.mkdir()
    (directory / "calico").write_text("#!/bin/sh\n")
    (directory / "bridge").write_text("the reference's\n")
    return directory


def assert_serves(path: Path) -> None:
    """The launcher, and what it executes: the error is Python's."""
    for command, status in (("VERSION", 0), ("STATUS", 1)):
        environ = {"CNI_COMMAND": command, "CNI_PATH": "/nowhere", "CNID_SOCKET": ""}
        done = subprocess.run(
            [path], env=environ, input=b"", check=False, capture_output=True, timeout=20
        )
        assert (done.returncode, done.stderr) == (status, b"")
        assert b"1.1.0" in done.stdout


def test_installs_and_replaces(built: Path, target: Path) -> None:
    install(built, target)
    assert {path.name for path in target.iterdir() if path.is_file()} == ENTRIES | {
        "cnid",
        "calico",
        "bridge.pycni-former",
    }
    assert (target / "bridge").samefile(target / "portmap")
    assert_serves(target / "bridge")


def test_installing_again_changes_nothing_and_leaves_nothing(built: Path, target: Path) -> None:
    install(built, target)
    names = sorted(path.name for path in target.iterdir())
    install(built, target)
    assert sorted(path.name for path in target.iterdir()) == names
    assert_serves(target / "host-local")


def test_an_older_build_goes_unless_it_is_in_use(built: Path, target: Path) -> None:
    unused, used = target / "pycni-lib-00000000", target / "pycni-lib-11111111"
    for old in (unused, used):
        old.mkdir()
    library = used / "libz.so.1"
    library.write_bytes(next(built.glob("pycni-lib-*/libz.so.1")).read_bytes())
    holder = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, library],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        process.stdout.readline()  # it has loaded the library
        assert f"in use by process {process.pid}" in install(built, target)
        assert used.exists()
        assert not unused.exists()
        process.communicate("")
    install(built, target)
    assert not used.exists()


def test_an_older_build_stays_for_a_launcher_that_is_about_to_execute_it(
    built: Path, target: Path
) -> None:
    """It has nothing of the library mapped yet, but itself is what has just been replaced."""
    old = target / "pycni-lib-00000000"
    old.mkdir()
    launcher = target / "bridge"
    launcher.write_bytes(Path("/bin/sleep").read_bytes() + b"pycni-lib-00000000")
    launcher.chmod(0o755)
    with subprocess.Popen([launcher, "60"]) as process:
        assert f"in use by process {process.pid}" in install(built, target)
        assert old.exists()
        process.kill()
    install(built, target)
    assert not old.exists()


def test_uninstalls_only_its_own(built: Path, target: Path) -> None:
    install(built, target)
    (target / "portmap").unlink()
    (target / "portmap").write_text("put there by hand\n")
    said = cnitool("uninstall", "--keep-rules", target)
    assert sorted(path.name for path in target.iterdir()) == ["bridge", "calico", "portmap"]
    assert "vlan" in said


def test_the_former_suite_comes_back_as_it_was(built: Path, target: Path) -> None:
    """Links too, by the names they have there."""
    (target / "portmap").symlink_to("calico")
    (target / "bridge").chmod(0o755)
    before = (target / "bridge").stat()
    said = install(built, target)
    assert "kept bridge, portmap of another suite" in said
    assert (target / "bridge.pycni-former").read_text() == "the reference's\n"
    install(built, target)  # an upgrade keeps what the first had kept
    said = cnitool("uninstall", "--keep-rules", target)
    assert "brought back bridge, portmap of the former suite" in said
    assert sorted(path.name for path in target.iterdir()) == ["bridge", "calico", "portmap"]
    after = (target / "bridge").stat()
    assert (after.st_ino, after.st_mode, after.st_mtime) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime,
    )
    assert (target / "portmap").readlink() == Path("calico")


def test_a_former_one_that_was_replaced_meanwhile_is_left(built: Path, target: Path) -> None:
    install(built, target)
    (target / "bridge").unlink()
    (target / "bridge").write_text("put there by hand\n")
    said = cnitool("uninstall", "--keep-rules", target)
    assert f"left {target}/bridge.pycni-former" in said
    assert (target / "bridge").read_text() == "put there by hand\n"


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("documents") / "share"
    subprocess.run([sys.executable, ROOT / "packaging/documents.py", made], check=True)
    return made


def test_documents_come_and_go(built: Path, documents: Path, target: Path, tmp_path: Path) -> None:
    share = tmp_path / "share"
    (share / "man/man1").mkdir(parents=True)
    (share / "man/man1/other.1").touch()
    where = ("--share", share, "--documents", documents)
    install(built, *where, target)
    assert (share / "man/man8/cni-bridge.8").exists()
    assert (share / "bash-completion/completions/cnitool").exists()
    (share / "others").mkdir()
    (share / "others/file").touch()
    again = install(built, "--share", share, "--documents", share, target)
    assert f"{share} has these man pages and completion" in again
    second = tmp_path / "second"  # from where it was installed, others' files beside
    install(built, "--share", second, "--documents", share, target)
    assert (second / "man/man8/cni-bridge.8").exists()
    assert not (second / "others").exists()
    assert not (second / "man/man1/other.1").exists()
    (share / "others/file").unlink()
    cnitool("uninstall", "--keep-rules", *where, target)
    left = [str(one.relative_to(share)) for one in share.rglob("*") if one.is_file()]
    assert left == ["man/man1/other.1"]
    assert not list(share.rglob("*pycni*"))


@pytest.fixture
def units(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "systemd"


def test_puts_the_units_in_place_and_takes_them_away(
    built: Path, documents: Path, tmp_path: Path
) -> None:
    """As a package build does it: files below a root, which name what will be there."""
    root = tmp_path / "root"
    where = ("--root", root, "--units", "/etc/systemd/system", "--documents", documents)
    install(built, *where, "/opt/cni/bin")
    units = root / "etc" / "systemd" / "system"
    assert sorted(unit.name for unit in units.iterdir()) == UNITS
    assert "ExecStart=/opt/cni/bin/cnid\n" in (units / "cnid.service").read_text()
    assert "ExecStart=/opt/cni/bin/dhcp daemon\n" in (units / "cni-dhcp.service").read_text()
    assert not any("@" in unit.read_text() for unit in units.iterdir())
    (units / "other.service").touch()
    with (units / "cnid.socket").open("a") as unit:
        unit.write("# by hand\n")
    said = cnitool("uninstall", *where, "/opt/cni/bin")
    assert sorted(unit.name for unit in units.iterdir()) == ["cnid.socket", "other.service"]
    assert f"left {units}/cnid.socket" in said
    assert list((root / "opt" / "cni" / "bin").iterdir()) == []


def test_a_path_that_a_unit_would_read_otherwise_gets_none(
    built: Path, target: Path, units: Path, documents: Path
) -> None:
    said = install(built, "--units", units, "--documents", documents, target)  # a name with spaces
    assert "left out systemd's units" in said
    assert not units.exists()
    assert_serves(target / "bridge")


def test_systemd_understands_the_units(built: Path, documents: Path, tmp_path: Path) -> None:
    units = tmp_path / "units"
    install(built, "--units", units, "--documents", documents, tmp_path / "bin")
    files = sorted(units.iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files],
        text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "cnid" in line or "cni-dhcp" in line]
    assert (done.returncode, ours) == (0, [])
