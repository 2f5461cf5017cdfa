"""The results cache: what was attached, with which arguments, and what ADD answered.

The reference's format, in its place and with its modes, so that Go runtimes and ours can detach
each other's containers: `<directory>/results/<network>-<container>-<ifname>`, one JSON object of
kind `cniCacheV1` a file. Beyond the reference, an entry is written whole or not at all, also when
the power fails, and one that somebody else left empty or torn is a missing result, not an error.
What `store` and `remove` have done is on the disk when they return.
"""

from __future__ import annotations

import binascii
import errno
import os

from cni import wire
from cni.call import Attachment as AttachmentKey
from cni.call import owner
from cni.errors import INVALID_ENVIRONMENT, IO_FAILURE, CniError
from cni.jsonvalue import JsonObject, parse_object
from cni.record import record
from libcni.attachment import Args, Attachment
from libcni.errors import within
from libcni.gojson import compact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.jsonvalue import JsonValue
    from cni.result import Result
    from libcni.conf import NetworkConfigList

DEFAULT_DIRECTORY = "/var/lib/cni"
KIND = "cniCacheV1"
_LONGEST = 255  # NAME_MAX, linux/limits.h
_NO_FSYNC = (errno.EINVAL, errno.EOPNOTSUPP)  # some network file systems have none for directories


class Told:
    """What ADD answered, decoded when it is asked for: who scans a cache looks at few results."""

    __slots__ = ("_document", "_result")

    def __init__(self, document: JsonObject) -> None:
        self._document: JsonObject | None = document
        self._result: Result | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Told) and self.result() == other.result()

    def __hash__(self) -> int:
        return hash(self.result())

    def result(self) -> Result | None:
        """The result; None where there is none that can be read."""
        if self._document is not None:
            self._result = _result(self._document)
            self._document = None
        return self._result


@record
class CachedAttachment:
    """An entry of the cache: an attachment that was made and not undone.

    netns, args, capability_args: as ADD got them. config: the network's JSON document. since:
    when, in seconds of the Unix epoch. path: the entry's file.
    """

    network: str
    container_id: str
    ifname: str
    netns: str
    args: Args
    capability_args: Mapping[str, JsonValue]
    config: bytes
    told: Told
    since: float
    path: str

    @property
    def result(self) -> Result | None:
        """What ADD answered, None where the entry has none that can be read."""
        return self.told.result()

    @property
    def key(self) -> AttachmentKey:
        return AttachmentKey(self.container_id, self.ifname)

    @property
    def owner(self) -> str:
        """`network/container/ifname`: the attachment among all networks."""
        return owner(self.network, self.key)

    @property
    def attachment(self) -> Attachment:
        """As it was attached, to be checked or detached."""
        return Attachment(
            self.container_id, self.netns, self.ifname, self.args, self.capability_args
        )


class Cache:
    """A cache directory; it and `results` in it are made, 0700, by the first ADD."""

    def __init__(self, directory: str = DEFAULT_DIRECTORY) -> None:
        self.directory = directory
        self.results = os.path.join(directory, "results")

    def path(self, network: str, key: AttachmentKey) -> str:
        """An entry's file. The three names must have been checked.

        Raises CniError(INVALID_ENVIRONMENT) where they are together too long for a file name.
        """
        name = f"{network}-{key.container_id}-{key.ifname}"
        if len(os.fsencode(name)) > _LONGEST:
            raise CniError(
                INVALID_ENVIRONMENT,
                f"container_id: with network and interface name it makes a cache entry's name of "
                f"{len(name)} characters, expected at most {_LONGEST}: {name[:60]}...",
            )
        return os.path.join(self.results, name)

    def prepare(self, network: str, key: AttachmentKey) -> bool:
        """Prove before an ADD that its result can be kept; tell whether there is an entry already.

        Raises CniError: IO_FAILURE, and INVALID_ENVIRONMENT where another attachment's entry has
        that file name (network `a`, container `b-c` and network `a-b`, container `c`).
        """
        path = self.path(network, key)
        try:
            for directory in _missing(self.results):
                _make(directory)
        except OSError as error:
            raise _failure("made", self.results, error) from error
        if not os.access(self.results, os.W_OK | os.X_OK):
            raise _unwritable(self.results)
        other = _other_owner(path, network, key)
        if other is not None:
            raise CniError(
                INVALID_ENVIRONMENT,
                f"container_id: {path} is the cache entry of network {other.network}, container "
                f"{other.container_id}, interface {other.ifname}: choose another container_id",
            )
        return os.path.lexists(path)

    def store(
        self, network: NetworkConfigList, attachment: Attachment, result: dict[str, JsonValue]
    ) -> None:
        """Keep what an ADD did. Raises CniError(IO_FAILURE)."""
        path = self.path(network.name, attachment.key)
        document: dict[str, JsonValue] = {
            "kind": KIND,
            "containerId": attachment.container_id,
            "config": binascii.b2a_base64(network.data, newline=False).decode(),
            "ifName": attachment.ifname,
            "networkName": network.name,
        }
        if attachment.netns:
            document["netns"] = attachment.netns
        if attachment.args:
            document["cniArgs"] = [list(pair) for pair in attachment.args]
        if attachment.capability_args:
            document["capabilityArgs"] = dict(attachment.capability_args)
        document["result"] = result
        try:
            _write(path, compact(document, sort=False))
        except OSError as error:
            raise _failure("written", path, error) from error

    def load(self, network: str, key: AttachmentKey) -> CachedAttachment | None:
        """The entry; None where there is none that can be read."""
        path = self.path(network, key)
        try:
            entry = _read(path)
        except (OSError, CniError):
            return _legacy(path, network, key)
        return entry if (entry.network, entry.key) == (network, key) else None

    def remove(self, network: str, key: AttachmentKey) -> None:
        """Forget an attachment. Raises CniError(IO_FAILURE)."""
        path = self.path(network, key)
        if _other_owner(path, network, key) is not None:
            return
        try:
            _remove(path)
        except OSError as error:
            raise _failure("removed", path, error) from error

    def scan(self) -> tuple[list[CachedAttachment], list[CniError]]:
        """Every entry in the order of file names, and what is wrong with the files that are none.

        Raises CniError(IO_FAILURE) for a directory that cannot be read; a missing one is empty.
        """
        try:
            names = sorted(os.listdir(self.results))
        except FileNotFoundError:
            return [], []
        except OSError as error:
            raise _failure("read", self.results, error) from error
        entries: list[CachedAttachment] = []
        problems: list[CniError] = []
        for name in names:
            path = os.path.join(self.results, name)
            if name.startswith(".") or os.path.isdir(path):
                continue
            try:
                entries.append(_read(path))
            except FileNotFoundError:  # detached meanwhile
                continue
            except OSError as error:
                problems.append(_failure("read", path, error))
            except CniError as error:
                problems.append(error)
        return entries, problems


def _other_owner(path: str, network: str, key: AttachmentKey) -> CachedAttachment | None:
    """The entry at `path` if it is another attachment's."""
    try:
        entry = _read(path)
    except (OSError, CniError):
        return None
    return None if (entry.network, entry.key) == (network, key) else entry


def _missing(directory: str) -> list[str]:
    """The directory and its parents as far as they do not exist, outermost first."""
    missing: list[str] = []
    while directory and not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    return missing[::-1]


def _make(directory: str) -> None:
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        if not os.path.isdir(directory):  # else another ADD was as quick
            raise
    _sync(os.path.dirname(directory) or ".")


def _sync(directory: str) -> None:
    """Wait until a directory's names are on the disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(handle)


def _unwritable(path: str) -> CniError:
    """Why a directory that is there takes nothing: root has every permission that can be had."""
    if _is_read_only(path):
        return CniError(
            IO_FAILURE,
            f"cache directory {path} is on a file system that is read-only: mount it writable, or "
            "choose another cache directory",
        )
    return CniError(
        IO_FAILURE,
        f"cache directory {path} cannot be written to by user {os.geteuid()}: run as root, or "
        "choose another cache directory",
    )


def _is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:  # it went away
        return False


def _failure(done: str, path: str, error: OSError) -> CniError:
    return CniError(IO_FAILURE, f"cache: {path} cannot be {done}: {error.strerror}")


def _write(path: str, data: bytes) -> None:
    """Replace a file by one of these bytes, and be sure that it lasts."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    temporary = _temporary(path)
    with open(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    _sync(os.path.dirname(path))


def _remove(path: str) -> None:
    """Remove a file and what a crash has left of writing it, and be sure that they stay away."""
    found = 0
    for each in (path, _temporary(path)):
        try:
            os.unlink(each)
        except FileNotFoundError:
            continue
        found += 1
    if found:
        _sync(os.path.dirname(path))


def _temporary(path: str) -> str:
    """The entry's name while it is written; a crash leaves it to the next write, or to `_remove`.

    A dot keeps it out of listings, and the digest keeps it short where the name is not.
    """
    import hashlib

    directory, name = os.path.split(path)
    digest = hashlib.blake2b(os.fsencode(name), digest_size=12).hexdigest()
    return os.path.join(directory, f".{digest}.tmp")


def _read(path: str) -> CachedAttachment:
    """Raises OSError, and CniError that names the file where it is no entry."""
    with open(path, "rb") as file:
        since = os.fstat(file.fileno()).st_mtime
        data = file.read()
    document = parse_object(data, f"cache entry {path}")
    try:
        return _entry(document, since, path)
    except CniError as error:
        raise within(f"cache entry {path}", error) from None


def _entry(document: JsonObject, since: float, path: str) -> CachedAttachment:
    if document.string("kind") != KIND:
        raise document.wrong("kind", f'"{KIND}"')
    try:
        config = binascii.a2b_base64(document.string("config"))
    except ValueError:
        raise document.wrong("config", "base64") from None
    return CachedAttachment(
        network=document.required_string("networkName"),
        container_id=document.required_string("containerId"),
        ifname=document.required_string("ifName"),
        netns=document.string("netns"),
        args=_pairs(document),
        capability_args=document.object("capabilityArgs").raw,
        config=config,
        told=Told(document.object("result")),
        since=since,
        path=path,
    )


def _pairs(document: JsonObject) -> Args:
    pairs: list[tuple[str, str]] = []
    for item in document.items("cniArgs"):
        match item:
            case [str(key), str(value)]:
                pairs.append((key, value))
            case _:
                raise document.wrong("cniArgs", "a list of [key, value]")
    return tuple(pairs)


def _result(document: JsonObject) -> Result | None:
    # Without a result the attachment can still be detached, as well as its plugins can.
    try:
        return wire.decode(document) if document.has("cniVersion") else None
    except CniError:
        return None


def _legacy(path: str, network: str, key: AttachmentKey) -> CachedAttachment | None:
    """Before libcni 0.8 an entry was the bare result."""
    try:
        with open(path, "rb") as file:
            since = os.fstat(file.fileno()).st_mtime
            document = parse_object(file.read(), path)
    except (OSError, CniError):
        return None
    if document.has("kind"):
        return None
    told = Told(document)
    if told.result() is None:
        return None
    return CachedAttachment(
        network, key.container_id, key.ifname, "", (), {}, b"", told, since, path
    )
