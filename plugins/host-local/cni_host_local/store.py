"""The reference's address directory: a file for each address, its content says who holds it.

`<dataDir>/<network>/` holds `lock` (flock), `<ip>` with `containerID\\r\\nifname` (older files: the
id alone) and `last_reserved_ip.<set>`, where the round robin goes on. The reference walks every
file there, so nothing else may be in it. Only the holder of the lock may change it or rely on it.
"""

from __future__ import annotations

import errno
import os
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from cni.errors import IO_FAILURE, TRY_AGAIN_LATER, CniError
from cni.ip import parse_address
from cni_host_local import boot
from hostnet.lock import Lock, LockTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from cni.call import Attachment
    from cni.ip import Address

_MAPPED = 0xFFFF << 32
_LARGEST = 4096
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
_NO_FSYNC = (errno.EINVAL, errno.EOPNOTSUPP)


# ---- what is in the files ----------------------------------------------------------------------


def content_of(owner: Attachment) -> bytes:
    """A reservation's content, as the reference writes it."""
    return f"{owner.container_id}\r\n{owner.ifname}".encode()


def split_holder(content: bytes) -> tuple[bytes, bytes] | None:
    """A reservation's container id and interface; that is empty in files of the older format.

    None for a torn one: nothing but white space, as a writer leaves that was killed between
    creating and writing, or zero bytes, as a power cut leaves.
    """
    container_id, _, ifname = content.strip().partition(b"\n")
    if not container_id or b"\0" in content:
        return None
    return container_id.rstrip(), ifname.lstrip()


def read_content(fd: int) -> bytes:
    """An open reservation's content."""
    return os.read(fd, _LARGEST)


def wide(address: Address) -> int:
    """The address as a number that is unique over both families (RFC 4291, 2.5.5.2)."""
    return int(address) | _MAPPED if address.version == 4 else int(address)


def name_of(number: int) -> str:
    """The file's name for an address given as such a number."""
    if number >> 32 == 0xFFFF:
        return inet_ntop(AF_INET, (number & 0xFFFFFFFF).to_bytes(4, "big"))
    return inet_ntop(AF_INET6, number.to_bytes(16, "big"))


def _number_of(name: str) -> int | None:
    """The address that a file is named after; None for other files."""
    try:
        if ":" in name:
            number = int.from_bytes(inet_pton(AF_INET6, name), "big")
        else:
            number = int.from_bytes(inet_pton(AF_INET, name), "big") | _MAPPED
    except (OSError, ValueError):
        return None
    # Another spelling of an address is not its file, for the reference neither.
    return number if name_of(number) == name else None


# ---- the directory -----------------------------------------------------------------------------


class _DirectoryLock(Lock):
    def acquire(self) -> None:
        try:
            super().acquire()
        except LockTimeout as error:
            raise CniError(TRY_AGAIN_LATER, str(error)) from None


class Store:
    """One network's directory, open. `with store.lock:` around everything but `draft` and `sync`.

    Methods raise OSError; a file that is missing is no error where it is read or removed.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.lock = _DirectoryLock(os.path.join(path, "lock"))

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.fd)

    def in_place(self) -> bool:
        """Whether the path still leads here: somebody may have removed the directory meanwhile."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def open(self, name: str) -> int | None:
        """A file, open for reading, None where it is missing."""
        try:
            # Not to wait for ever where somebody left a pipe.
            return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self.fd)
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes | None:
        """A file's content, None where it is missing."""
        fd = self.open(name)
        if fd is None:
            return None
        try:
            return read_content(fd)
        finally:
            os.close(fd)

    def is_of_earlier_boot(self, name: str) -> bool:
        """Whether the reservation was made before this machine's last boot."""
        fd = self.open(name)
        if fd is None:
            return False
        try:
            return boot.is_earlier(boot.mark_of(fd))
        finally:
            os.close(fd)

    def addresses(self) -> Iterator[tuple[str, int]]:
        """Every file that is named after an address, with the address as a number (`wide`)."""
        for name in os.listdir(self.fd):
            number = _number_of(name)
            if number is not None:
                yield name, number

    def remove(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            pass

    def last_reserved(self, index: int) -> Address | None:
        """Where the round robin of a range set stands; None where nothing readable says it."""
        try:
            content = self.read(_cursor_name(index))
            return parse_address(content.decode().strip()) if content else None
        except (OSError, ValueError):
            return None

    def set_last_reserved(self, index: int, address: Address) -> None:
        """Note where the round robin stands. Failing costs its order once, so nobody is told."""
        # Cut to length after writing, not emptied before: ext4 writes an emptied file out at once.
        text = str(address).encode()
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
            fd = os.open(_cursor_name(index), flags, 0o600, dir_fd=self.fd)
        except OSError:
            return
        try:
            os.ftruncate(fd, os.write(fd, text))
        except OSError:
            pass
        finally:
            os.close(fd)

    def sync(self) -> None:
        """Wait until the directory's names are on the disk."""
        try:
            os.fsync(self.fd)
        except OSError as error:
            if error.errno not in _NO_FSYNC:  # some network file systems have none for directories
                raise

    def draft(self, owner: Attachment) -> Draft:
        """A reservation on the disk that has no name yet; needs no lock."""
        return Draft(self, content_of(owner))


def _cursor_name(index: int) -> str:
    return f"last_reserved_ip.{index}"


def open_store(path: str) -> Store | None:
    """The directory at `path`, None where there is none. Raises OSError."""
    try:
        return Store(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except (FileNotFoundError, NotADirectoryError):
        return None


def create_store(path: str) -> Store:
    """The directory at `path`, made durably where it is missing. Raises OSError."""
    missing: list[str] = []
    directory = path
    while not os.path.isdir(directory or "."):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for directory in reversed(missing):
        _make(directory)
    return Store(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def _make(directory: str) -> None:
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        return
    parent = os.open(os.path.dirname(directory) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def unusable(path: str, error: OSError) -> CniError:
    """The error for a directory, or something in it, that the system refuses to work with."""
    return CniError(
        IO_FAILURE,
        f"address directory {path}: {error.strerror or error}, expected a directory with room that "
        'can be written: mend it or set "dataDir" in "ipam"',
    )


# ---- a new reservation -------------------------------------------------------------------------


class Draft:
    """A reservation's file before, and after, it has a name.

    It is a file without a name (O_TMPFILE) until its content is on the disk, and gets its name by
    link(2): no moment, not even a power cut's, shows a reservation without content, and the
    directory never holds anything that the reference would take for something else. Where the
    file system has no such files, the name comes first and whoever holds the lock next removes
    the empty file that a kill would leave.
    """

    __slots__ = ("_content", "_fd", "_name", "_nameless_once", "_store")

    def __init__(self, store: Store, content: bytes) -> None:
        self._store = store
        self._content = content
        self._name = ""
        self._fd = -1
        self._nameless_once = False
        try:
            flags = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
            self._fd = os.open(".", flags, 0o600, dir_fd=store.fd)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
            return
        self._nameless_once = True
        try:
            self._write()
        except BaseException:
            self.close()
            raise

    def _write(self) -> None:
        boot.mark(self._fd)
        os.write(self._fd, self._content)
        os.fsync(self._fd)

    def publish(self, name: str) -> None:
        """Give it the name of its address. Raises FileExistsError where there is such a file."""
        self._name = name
        if self._fd >= 0:
            source = f"/proc/self/fd/{self._fd}"
            os.link(source, name, dst_dir_fd=self._store.fd, follow_symlinks=True)
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(name, flags, 0o600, dir_fd=self._store.fd)
        self._write()

    def sync(self) -> None:
        """Wait until the disk knows that the file has a name.

        Without a journal (ext2, or ext4 made so) the directory's sync writes the name and not the
        file's count of names, and the check at the next boot then takes the name for an error.
        """
        if self._nameless_once:
            os.fsync(self._fd)

    def is_published(self) -> bool:
        """Whether `publish` gave it a name, and the name is still this file's."""
        if self._fd < 0 or not self._name:
            return False
        try:
            found = os.stat(self._name, dir_fd=self._store.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._fd))

    def withdraw(self) -> None:
        """Take the name back."""
        if self.is_published():
            self._store.remove(self._name)

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
