"""Pack a release: `release.py BUILT DOCUMENTS DIRECTORY` leaves the archive and its checksum there.

    cni-plugins-linux-ARCH-vVERSION.tgz       named and laid out as the reference suite's
    cni-plugins-linux-ARCH-vVERSION.tgz.sha256

It unpacks over /opt/cni/bin. The library directory comes first and the executables last, so that
whoever is called meanwhile finds what it needs; and tar puts a new file where one stands that runs.
The same tree makes the same bytes: names in order, everything root's, one time for all.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import platform
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import epoch

from cni import __version__
from cnitool.suite.command import SHARE
from cnitool.suite.files import CONTENTS_PREFIX

ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loongarch64": "loong64",
}
"""What Go and Debian call them, by what Linux does."""


def architecture() -> str:
    """Of this machine, whose libraries are in the bundle."""
    return ARCHITECTURES[platform.machine()]


def pack(built: Path, documents: Path, directory: Path) -> Path:
    """Write the archive of what a build left in `built` and its documents. Gives its path."""
    directory.mkdir(parents=True, exist_ok=True)
    archive = directory / f"cni-plugins-linux-{architecture()}-v{__version__}.tgz"
    time = epoch.seconds()
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=time) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        _add_files(tar, _in_order(built, documents), time)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name(f"{archive.name}.sha256").write_text(f"{digest}  {archive.name}\n")
    return archive


def _in_order(built: Path, documents: Path) -> Iterator[tuple[str, Path]]:
    """Each file and directory, with its name in the archive."""
    (contents,) = built.glob(f"{CONTENTS_PREFIX}*/")
    for top, name in ((contents, contents.name), (documents, SHARE)):
        yield name, top
        for path in sorted(top.rglob("*")):
            yield f"{name}/{path.relative_to(top)}", path
    for path in sorted(built.iterdir()):
        if path.is_file():
            yield path.name, path


def _add_files(tar: tarfile.TarFile, files: Iterator[tuple[str, Path]], time: int) -> None:
    first: dict[int, str] = {}
    for name, path in files:
        status = path.stat()
        member = tarfile.TarInfo(f"./{name}")
        member.mtime = time
        member.mode = 0o755 if status.st_mode & 0o111 else 0o644
        if path.is_dir():
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        elif status.st_nlink > 1 and status.st_ino in first:
            member.type, member.linkname = tarfile.LNKTYPE, first[status.st_ino]
            tar.addfile(member)
        else:
            first[status.st_ino] = member.name
            member.size = status.st_size
            tar.addfile(member, io.BytesIO(path.read_bytes()))


if __name__ == "__main__":
    made = pack(*map(Path, sys.argv[1:]))
    print(f"{made}, {made.stat().st_size / 1e6:.1f} MB")
