"""Where leases are written: a directory beside the daemon's socket, a file for each attachment.

It dies with the boot where /run does, as the containers do: a lease is of use for as long as its
container's namespace is there, and no reboot leaves one. And whoever runs the daemon in a
container mounts the socket's directory into it anyway, so that the leases outlive that container.
"""

from __future__ import annotations

import errno
import os
from _blake2 import blake2s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".json"
_UNFINISHED = ".unfinished"
_LARGEST = 1 << 20


def directory_of(socket_path: str) -> str:
    """The leases' directory: `/run/cni/dhcp` for `/run/cni/dhcp.sock`."""
    stem = socket_path.removesuffix(".sock")
    is_a_name = stem != socket_path and not stem.endswith("/")
    return stem if is_a_name else f"{socket_path}.leases"


def name_of(owner: str) -> str:
    """The file's name for an attachment, whose names may together be too long for one."""
    return blake2s(owner.encode(), digest_size=16).hexdigest() + SUFFIX


def names(directory: str) -> list[str]:
    """Every lease's file; none where there is no directory. Raises OSError."""
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith(SUFFIX))
    except FileNotFoundError:
        return []


def read(directory: str, name: str) -> bytes | None:
    """A file's content, None where it is gone. Raises OSError."""
    try:
        with open(os.path.join(directory, name), "rb") as file:
            return file.read(_LARGEST)
    except FileNotFoundError:
        return None


def contents(directory: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file that could be read. Raises OSError for the directory."""
    for name in names(directory):
        content = read(directory, name)
        if content is not None:
            yield name, content


def tidy(directory: str) -> None:
    """Remove what a writer left that was killed; for the only writer there is. Raises OSError."""
    try:
        left = [name for name in os.listdir(directory) if name.endswith(_UNFINISHED)]
    except FileNotFoundError:
        return
    for name in left:
        remove(directory, name)


def remove(directory: str, name: str) -> bool:
    """Remove a file; False where it was gone. Raises OSError."""
    try:
        os.unlink(os.path.join(directory, name))
    except FileNotFoundError:
        return False
    return True


def write(directory: str, name: str, content: bytes) -> None:
    """Put a file in place, whole and on the disk, or leave what is there. Raises OSError."""
    from hostnet.directory import make  # the daemon's alone

    make(directory, 0o700)
    unfinished = os.path.join(directory, name + _UNFINISHED)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(unfinished, flags, 0o600)
    try:
        if os.write(fd, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), unfinished)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(unfinished, os.path.join(directory, name))
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
