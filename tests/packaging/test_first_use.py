"""First use, on a Debian that has nothing: from a clone to a container that answers on a published
port, by one command; and from the reference suite to this one and back, by one each.

`--whole` alone: it takes minutes, and a mirror. The Debian is this machine's release, from wherever
this machine has its packages.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 25
# How this machine reaches packages: a proxy, a mirror, an authority. A fresh one has its own ways.
ACCESS = ("/etc/apt", "/etc/pip.conf", "/etc/resolv.conf", "/etc/hosts")
VARIABLES = re.compile(r"(?i)^(.*_proxy|PIP_.*)$")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
INSIDE = """\
set -eu
mount --make-rprivate /
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount --rbind /dev "$0/dev"
mount -t tmpfs none "$0/run"
exec chroot "$0" sh -euc "$1"
"""


class Fresh:
    """A root with a minimal Debian, and how long each thing took in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.times: list[tuple[str, float]] = []

    def run(self, what: str, script: str) -> str:
        """A shell's script in it, in namespaces of mounts and processes of its own; its output."""
        passed = {key: value for key, value in os.environ.items() if VARIABLES.match(key)}
        if (self.root / "authorities.crt").exists():
            passed["PIP_CERT"] = "/authorities.crt"
        start = time.monotonic()
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", INSIDE,
             self.root, script],
            env={**passed, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
            text=True, capture_output=True, check=False, timeout=MINUTES * 60,
        )  # fmt: skip
        self.times.append((what, time.monotonic() - start))
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout


def _debootstrap(root: Path) -> None:
    files = [*Path("/etc/apt").rglob("*.sources"), *Path("/etc/apt").rglob("*.list")]
    lines = [line for one in files for line in one.read_text().splitlines() if line[:1] != "#"]
    (mirror, *_) = re.findall(r"https?://\S+/debian\b(?!-)", "\n".join(lines))
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    subprocess.run(
        ["debootstrap", "--variant=minbase", release, root, mirror],
        check=True, capture_output=True, timeout=MINUTES * 60,
    )  # fmt: skip


@pytest.fixture
def fresh(whole: None, tmp_path: Path) -> Iterator[Fresh]:
    root = tmp_path / "root"
    start = time.monotonic()
    _debootstrap(root)
    made = Fresh(root)
    made.times.append(("a minimal Debian", time.monotonic() - start))
    for path in map(Path, ACCESS):
        target = root / path.relative_to("/")
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        elif path.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    if AUTHORITIES.exists():  # where no package's own list takes their place
        shutil.copyfile(AUTHORITIES, root / "authorities.crt")
    clone: list[str | Path] = [
        "git",
        "clone",
        "--quiet",
        "--depth=1",
        f"file://{ROOT}",
        root / "src/pycni",
    ]
    subprocess.run(clone, check=True)
    # What somebody who has a clone has; the rest is the project's affair.
    made.run("apt: make", "apt-get update -qq; apt-get install -y -qq --no-install-recommends make")
    yield made
    shutil.rmtree(root)  # half a gigabyte


@pytest.mark.timeout(MINUTES * 60)
def test_from_a_clone_to_a_published_port_and_from_suite_to_suite(fresh: Fresh) -> None:
    said = fresh.run("make demo", "cd /src/pycni && make demo 2>&1")
    assert "the published port" in said
    fresh.run(
        "apt: the reference suite",
        "apt-get install -y -qq --no-install-recommends containernetworking-plugins iptables; "
        "mkdir -p /opt/cni /etc/systemd/system; cp -a /usr/lib/cni /opt/cni/bin",
    )
    said = fresh.run("make install", "cd /src/pycni && make install")
    assert "of another suite, to come back" in said
    assert "pycni-lib-" in fresh.run("ls", "ls /opt/cni/bin")
    assert fresh.run("cnitool", "/opt/cni/bin/cnitool --version").startswith("cnitool ")
    said = fresh.run("make uninstall", "cd /src/pycni && make uninstall")
    assert "of the former suite" in said
    fresh.run("compare", "diff -r /usr/lib/cni /opt/cni/bin")
    for what, seconds in fresh.times:
        print(f"{what}: {seconds:.1f} s")  # noqa: T201 for the reader of a run with -s
