"""Pack a Debian package: `debian.py BUILT DOCUMENTS DIRECTORY` leaves pycni_VERSION_ARCH.deb there.

The executables go to /usr/lib/cni, where Debian's containerd and podman look, where Debian has the
reference suite, and where policy lets a package put them (/opt is the administrator's; `cnitool
install` serves runtimes that look only there). So this package stands in for
containernetworking-plugins: dpkg takes that one's files over one by one, and apt brings it back.

By dpkg-deb, without debhelper: its helpers strip executables, and with that the archive off the end
of what PyInstaller makes.
"""

from __future__ import annotations

import gzip
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from email.utils import formatdate
from pathlib import Path

import epoch
from release import architecture

from cni import __version__
from cnitool.suite import files, units

ROOT = Path(__file__).resolve().parent.parent
BINDIR = "/usr/lib/cni"
_DEBIAN = {"arm": "armhf", "ppc64le": "ppc64el"}
"""Debian's names of architectures where they are not Go's."""
_CONTROL = """\
Package: pycni
Version: {version}
Architecture: {architecture}
Maintainer: pycni <pycni@localhost>
Installed-Size: {size}
Depends: libc6 (>= {libc}), zlib1g
Suggests: nftables, iptables
Provides: containernetworking-plugins (= {stands_in}), container-network-stack
Conflicts: containernetworking-plugins
Replaces: containernetworking-plugins
Section: net
Priority: optional
Description: container network plugins (CNI), native to nftables
 The plugins that container runtimes which speak CNI execute for each
 container: containerd, CRI-O, podman with its CNI backend, nerdctl. They read
 the configurations and address files of containernetworking-plugins, of which
 this is a drop-in, and publish ports and masquerade by nftables.
 .
 With them come cnid, a daemon that keeps the plugins warm and gives containers
 back what a reload of the firewall took from them, and cnitool, to add, inspect
 and debug networks by hand.
"""
_STANDS_IN = "1.6.2"
"""The version of the reference whose plugins and keys are here."""
_COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: pycni
Comment: The executables bring an interpreter and libraries along; NOTICE names them.

Files: *
Copyright: 2026 the authors of pycni
License: Apache-2.0
 On Debian systems, the license's text is in /usr/share/common-licenses/Apache-2.0.
"""
_CHANGELOG = """\
pycni ({version}) unstable; urgency=medium

  * See NEWS.md.

 -- pycni <pycni@localhost>  {date}
"""
# The daemon is restarted and not reloaded: one of another build takes no calls. While it is away
# each call runs cold, and its socket, which systemd holds, keeps those that come.
_POSTINST = """\
#!/bin/sh
set -e
if [ "$1" = configure ] && command -v deb-systemd-helper >/dev/null; then
    for unit in cnid.socket cnid.service; do
        deb-systemd-helper unmask $unit >/dev/null || true
        if deb-systemd-helper --quiet was-enabled $unit; then
            deb-systemd-helper enable $unit >/dev/null || true
        else
            deb-systemd-helper update-state $unit >/dev/null || true
        fi
    done
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        deb-systemd-invoke restart cnid.socket cnid.service >/dev/null || true
        deb-systemd-invoke try-restart cni-dhcp.service >/dev/null || true
    fi
fi
"""
_PRERM = """\
#!/bin/sh
set -e
if [ "$1" = remove ]; then
    if [ -d /run/systemd/system ]; then
        deb-systemd-invoke stop cnid.socket cnid.service >/dev/null || true
    fi
    # To where the next suite's DEL finds them; without it, a port would stay with a dead address.
    /usr/lib/cni/cnitool uninstall --only-rules /usr/lib/cni || true
fi
"""
_POSTRM = """\
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = purge ] && command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper purge cnid.socket cnid.service >/dev/null || true
fi
"""
_SCRIPTS = {"postinst": _POSTINST, "prerm": _PRERM, "postrm": _POSTRM}
# What is meant so: see packaging/pycni.spec and cnid/launcher.c.
_OVERRIDES = """\
# the interpreter and its libraries are of one build, and known to work together
pycni: embedded-library
pycni: hardening-no-pie
pycni: hardening-no-fortify-functions
pycni: hardening-no-bindnow
pycni: unstripped-binary-or-object
pycni: shared-library-lacks-prerequisites
pycni: library-not-linked-against-libc
# the launcher, which starts in a third of a millisecond
pycni: statically-linked-binary
# the first release went to no archive, and there is no address yet
pycni: initial-upload-closes-no-bugs
pycni: bogus-mail-host
pycni: bogus-mail-host-in-debian-changelog
"""


def pack(built: Path, documents: Path, directory: Path) -> Path:
    """Write the package of a build and its documents. Gives its path."""
    names = _DEBIAN.get(architecture(), architecture())
    directory.mkdir(parents=True, exist_ok=True)
    package = directory.absolute() / f"pycni_{__version__}_{names}.deb"
    with tempfile.TemporaryDirectory(prefix="pycni-deb-") as scratch:
        root = Path(scratch, "root")
        _lay(built, documents, root)
        _describe(root, names)
        _settle(root)
        # gzip: xz takes fourteen seconds to save a fifth.
        command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root), str(package)]
        environ = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch.seconds())}
        done = subprocess.run(command, env=environ, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stderr}debian: dpkg-deb makes no package")
    return package


def _lay(built: Path, documents: Path, root: Path) -> None:
    target = root / BINDIR.lstrip("/")
    for _ in files.install(built, target):
        pass
    for _ in units.install(
        documents / "pycni/systemd", root / "usr/lib/systemd/system", Path(BINDIR)
    ):
        pass
    (root / "usr/bin").mkdir()
    (root / "usr/bin/cnitool").symlink_to("../lib/cni/cnitool")
    share = root / "usr/share"
    for source, there in (
        ("bash-completion", "bash-completion"),
        ("zsh/site-functions", "zsh/vendor-completions"),
        ("fish", "fish"),
        ("man", "man"),
        ("pycni/schemas", "pycni/schemas"),
    ):
        if (documents / source).is_dir():
            shutil.copytree(documents / source, share / there)
    for page in share.glob("man/*/*"):
        _compress(page)
    doc = share / "doc/pycni"
    doc.mkdir(parents=True)
    (doc / "copyright").write_text(_COPYRIGHT)
    shutil.copyfile(documents / "doc/pycni/NOTICE", doc / "NOTICE")
    shutil.copyfile(documents / "doc/pycni/CHANGELOG.md", doc / "NEWS.md")
    date = formatdate(epoch.seconds())
    (doc / "changelog").write_text(_CHANGELOG.format(version=__version__, date=date))
    _compress(doc / "changelog")
    overrides = share / "lintian/overrides/pycni"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(_OVERRIDES)


def _compress(file: Path) -> None:
    packed = gzip.compress(file.read_bytes(), 9, mtime=0)
    file.with_name(f"{file.name}.gz").write_bytes(packed)
    file.unlink()


def _describe(root: Path, names: str) -> None:
    sizes = {(one.stat().st_ino): one.stat().st_size for one in root.rglob("*") if one.is_file()}
    control = root / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(
        _CONTROL.format(
            version=__version__,
            architecture=names,
            size=sum(sizes.values()) // 1024,
            libc=platform.libc_ver()[1],
            stands_in=_STANDS_IN,
        )
    )
    for name, text in _SCRIPTS.items():
        (control / name).write_text(text)
        (control / name).chmod(0o755)


def _settle(root: Path) -> None:
    """One time, and modes that do not depend on a umask."""
    at = epoch.seconds()
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            library = ".so" in path.name and path.is_file()
            executable = path.is_dir() or (path.stat().st_mode & 0o100 and not library)
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (at, at), follow_symlinks=False)


if __name__ == "__main__":
    print(pack(*map(Path, sys.argv[1:])))
