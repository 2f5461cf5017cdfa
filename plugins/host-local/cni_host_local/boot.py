"""Which boot a reservation is of: one of an earlier boot is of a container that is no more.

Each reservation carries the boot it was made in as an extended attribute of its file, which no
other reader of the directory sees, which goes with the file, and which is there before the file has
its name. A time stamp would not do: a clock that was wrong at boot and set later makes what is
alive look old.

Nothing is released on a guess. A file without the attribute, or with another machine's (a directory
on a network file system), stays. So does everything where the boot's id cannot be trusted: some
containers have one of their own mounted there, and their start is no reboot. And so does what the
results cache knows of, as long as the namespace it names is there.
"""

from __future__ import annotations

import os
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_host_local.store import Store

ATTRIBUTE = "user.pycni.boot"
"""`<CRC-32 of the machine's id>.<boot id>`, in hexadecimal: 41 bytes, since ext4 finds room for
about 60 in the inode of a file, and takes a block for more."""

BOOT_ID = "/proc/sys/kernel/random/boot_id"
MACHINE_ID = "/etc/machine-id"
RESULTS = "/var/lib/cni/results"
"""The results cache of every runtime that was not told otherwise."""

_LONGEST = 64
_boot = ""
_now: bytes | None = None
"""What `boot_id` and `this_boot` hold. Not by `functools`, which takes 1.3 ms to import."""


def boot_id() -> str:
    """The kernel's id for this boot. Raises OSError."""
    global _boot
    if not _boot:
        _boot = _read(BOOT_ID)
    return _boot


def this_boot() -> bytes:
    """What a reservation made now carries; empty where there is no telling which boot it is."""
    global _now
    if _now is None:
        _now = _find_this_boot()
    return _now


def _find_this_boot() -> bytes:
    try:
        # Mounted over, it is a container's, made up at the container's start.
        if os.stat(BOOT_ID).st_dev != os.stat("/proc/self").st_dev:
            return b""
        boot = boot_id().replace("-", "")
    except OSError:
        return b""
    try:
        machine = _read(MACHINE_ID)
    except OSError:
        machine = ""  # such systems exist; a directory of another such one is not told apart
    return f"{zlib.crc32(machine.encode()):08x}.{boot}".encode()


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _LONGEST).decode(errors="replace").strip()
    finally:
        os.close(fd)


# ---- the attribute -----------------------------------------------------------------------------


def mark(fd: int) -> None:
    """Note on a reservation's file that it is of this boot.

    Where the file system keeps no such attributes, it stays over a reboot, until DEL or GC.
    """
    now = this_boot()
    if now:
        try:
            os.setxattr(fd, ATTRIBUTE, now)
        except OSError:
            pass


def mark_of(fd: int) -> bytes:
    """What `mark` noted; empty where it did not."""
    try:
        return os.getxattr(fd, ATTRIBUTE)
    except OSError:
        return b""


def is_earlier(found: bytes) -> bool:
    """Whether the mark is of an earlier boot of this very machine."""
    now = this_boot()
    if not now or found == now:
        return False
    return len(found) == len(now) and found.partition(b".")[0] == now.partition(b".")[0]


# ---- proof of life -----------------------------------------------------------------------------


def is_alive(store: Store, container_id: bytes, ifname: bytes) -> bool:
    """Whether the results cache has the attachment, and its namespace is there.

    A namespace that is also this process's is no container's: after a reboot, another process may
    have the number that /proc/PID/ns/net names.
    """
    network = os.path.basename(store.path).encode()
    path = b"%s/%s-%s-%s" % (RESULTS.encode(), network, container_id, ifname)
    netns = _cached_netns(path)
    if not netns:
        return False
    try:
        found, own = os.stat(netns), os.stat("/proc/thread-self/ns/net")
    except (OSError, ValueError):
        return False
    return found.st_dev == own.st_dev and found.st_ino != own.st_ino


def _cached_netns(path: bytes) -> str:
    from cni.errors import CniError
    from cni.jsonvalue import parse_object

    try:
        with open(path, "rb") as file:
            return parse_object(file.read(), os.fsdecode(path)).string("netns")
    except (OSError, ValueError, CniError):
        return ""
