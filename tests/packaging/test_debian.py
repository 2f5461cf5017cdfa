"""The Debian package: what lintian says of it, and a machine that it comes to and goes from.

The machine is this one with a layer over it that is thrown away (overlayfs), so that dependencies,
and Debian's package of the reference suite, are real.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.namespace import MNT_DETACH, libc, mount
from tests.packaging.test_release import python

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300
pytestmark = pytest.mark.timeout(600)  # for a machine that does other things as well
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command, text=True, capture_output=True, check=False, timeout=SECONDS,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("debian")
    python(ROOT / "packaging/documents.py", directory / "share", **EPOCH)
    python(ROOT / "packaging/debian.py", built, directory / "share", directory, **EPOCH)
    (made,) = directory.glob("*.deb")
    return made


class Machine:
    """This machine's root, with a layer over it that takes all changes."""

    def __init__(self, directory: Path) -> None:
        self.layer = directory / "layer"
        self.layer.mkdir()
        mount("none", self.layer, "tmpfs")
        for name in ("upper", "work", "root"):
            (self.layer / name).mkdir()
        self.root = self.layer / "root"
        options = f"lowerdir=/,upperdir={self.layer}/upper,workdir={self.layer}/work"
        run("mount", "-t", "overlay", "-o", options, "none", self.root)
        mount("none", self.root / "proc", "proc")
        mount("/dev", self.root / "dev", "none", 0x1000)  # MS_BIND

    def run(self, *command: str) -> str:
        """A command in it."""
        return run("chroot", self.root, *command)

    def close(self) -> None:
        """Throw it away."""
        for where in (self.root / "dev", self.root / "proc", self.root, self.layer):
            libc("umount2", bytes(where), MNT_DETACH)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


def test_it_comes_and_goes(machine: Machine, package: Path) -> None:
    """In the place of Debian's containernetworking-plugins, which others depend on."""
    inside = machine.root / "tmp" / package.name
    inside.write_bytes(package.read_bytes())
    before = (machine.root / "usr/lib/cni/bridge").read_bytes()
    machine.run("dpkg", "--force-unsafe-io", "--no-triggers", "--install", f"/tmp/{package.name}")
    assert machine.run("dpkg-query", "-Wf", "${Status}", "pycni") == "install ok installed"
    said = subprocess.run(
        ["chroot", machine.root, "dpkg-query", "-Wf", "${db:Status-Status}", "podman"],
        text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert said.stdout == "installed"  # what needs the reference's package is content
    assert machine.run("cnitool", "--version").startswith("cnitool ")
    assert (machine.root / "usr/lib/cni/bridge").read_bytes() != before
    assert "pycni-lib-" in machine.run("sh", "-c", "ls /usr/lib/cni")
    unit = machine.run("cat", "/usr/lib/systemd/system/cnid.service")
    assert "ExecStart=/usr/lib/cni/cnid\n" in unit
    assert "cni-bridge - " in machine.run("lexgrog", "/usr/share/man/man8/cni-bridge.8.gz")
    wants = "/etc/systemd/system/sockets.target.wants/cnid.socket"
    assert machine.run("readlink", wants).endswith("/systemd/system/cnid.socket\n")
    machine.run("dpkg", "--no-triggers", "--purge", "--force-depends", "pycni")
    left = machine.run("sh", "-c", "ls -d /usr/lib/cni/* /usr/bin/cnitool /usr/share/pycni || true")
    assert "pycni" not in left
    assert "cnitool" not in left
    assert not (machine.root / wants.lstrip("/")).is_symlink()


@pytest.mark.usefixtures("whole")
def test_a_new_version_replaces_files_by_renames(
    machine: Machine, package: Path, tmp_path: Path
) -> None:
    """dpkg writes beside and renames: an executable that runs goes on."""
    newer = tmp_path / "newer.deb"
    run("dpkg-deb", "--raw-extract", package, tmp_path / "tree")
    control = tmp_path / "tree/DEBIAN/control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 9"))
    run("dpkg-deb", "-Zgzip", "-z1", "--build", tmp_path / "tree", newer)
    for file in (package, newer):
        (machine.root / "tmp" / file.name).write_bytes(file.read_bytes())
    machine.run("dpkg", "--force-unsafe-io", "--no-triggers", "--install", f"/tmp/{package.name}")
    bridge = machine.root / "usr/lib/cni/bridge"
    with bridge.open("rb") as running:
        before = running.read()
        machine.run("dpkg", "--force-unsafe-io", "--no-triggers", "--install", f"/tmp/{newer.name}")
        assert bridge.stat().st_ino != Path(f"/proc/self/fd/{running.fileno()}").stat().st_ino
        assert bridge.read_bytes() == before
    assert machine.run("dpkg-query", "-Wf", "${Version}", "pycni").startswith("9")


@pytest.mark.usefixtures("whole")
def test_lintian_finds_nothing_that_is_not_meant(package: Path) -> None:
    said = run("lintian", "--allow-root", "--fail-on", "error,warning", package)
    assert said == ""


@pytest.mark.usefixtures("whole")
def test_the_same_tree_makes_the_same_package(built: Path, package: Path, tmp_path: Path) -> None:
    share = package.parent / "share"
    python(ROOT / "packaging/debian.py", built, share, tmp_path, **EPOCH)
    assert (tmp_path / package.name).read_bytes() == package.read_bytes()
