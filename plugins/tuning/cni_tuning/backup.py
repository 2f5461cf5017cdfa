"""What an interface had before ADD: a file for each attachment, in the reference's form and place.

`<dataDir>/<container>_<interface>.json` holds the reference's `mac`, `mtu`, `promisc`, `allmulti`
and `txQLen`, each where ADD was to change it, so that either suite can undo the other's work. What
else stands in it the reference passes over: `network`, for GC, and `link`, which link it is about.
By that a second `tuning` in a chain adds to the first one's file, which has the older values; the
reference's replaces it, and a physical device then keeps what the first has set.
"""

from __future__ import annotations

import os

from cni import jsontext
from cni.errors import IO_FAILURE, CniError
from cni.jsonvalue import JsonObject, parse_object
from cni_tuning.attributes import Attributes
from hostnet import directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Attachment
    from cni.jsonvalue import JsonValue

DATA_DIR = "/run/cni/tuning"
_LARGEST = 1 << 16
_MAX_U32 = 2**32 - 1
_UNFINISHED = ".new"


def read_data_dir(config: JsonObject) -> str:
    """Where the backups are: all that DEL and GC need of a config. Raises CniError."""
    return config.string("dataDir") or DATA_DIR


def lenient_data_dir(config: JsonObject) -> str:
    """As `read_data_dir`; the default where the config has become wrong."""
    try:
        return read_data_dir(config)
    except CniError:
        return DATA_DIR


def file_of(data_dir: str, attachment: Attachment) -> str:
    """The path of an attachment's backup."""
    return os.path.join(data_dir, f"{attachment.container_id}_{attachment.ifname}.json")


def read(path: str) -> JsonObject | None:
    """What a backup holds; None where there is none. One that is no JSON object is an empty one.

    Raises OSError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        data = os.read(fd, _LARGEST)
    finally:
        os.close(fd)
    try:
        return parse_object(data, path)
    except CniError:
        return JsonObject({})


def attributes(found: JsonObject) -> Attributes:
    """The attributes in a backup, without those that could not be an interface's."""
    return Attributes(
        mac=_mac(found),
        mtu=_number(found, "mtu") or 0,
        promisc=_switch(found, "promisc"),
        allmulti=_switch(found, "allmulti"),
        tx_queue=_number(found, "txQLen"),
    )


def _mac(found: JsonObject) -> str:
    try:
        return found.mac("mac")
    except CniError:
        return ""


def _number(found: JsonObject, key: str) -> int | None:
    try:
        return found.integer(key, None, 0, _MAX_U32)
    except CniError:
        return None


def _switch(found: JsonObject, key: str) -> bool | None:
    value = found.get(key)
    return value if isinstance(value, bool) else None


def save(path: str, network: str, link: str, before: Attributes) -> bytes | None:
    """Keep what an interface had, and what the file already says of the same link.

    link: what it is known by. Gives what was in the file before, None where there was none. Raises
    CniError(IO_FAILURE).
    """
    try:
        directory.make(os.path.dirname(path) or ".", 0o700)
        there = read(path)
        old = None if there is None else jsontext.dumps(there.raw).encode()
        if there is not None and there.get("link") == link:
            before = attributes(there).otherwise(before)
        _write(path, jsontext.dumps(_document(network, link, before)).encode())
    except OSError as error:
        raise CniError(
            IO_FAILURE,
            f'key "dataDir": what the interface had before cannot be kept in {path}: '
            f"{error.strerror}",
        ) from error
    return old


def _document(network: str, link: str, before: Attributes) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = {
        "network": network,
        "link": link,
        "mac": before.mac or None,
        "mtu": before.mtu or None,
        "promisc": before.promisc,
        "allmulti": before.allmulti,
        "txQLen": before.tx_queue,
    }
    return {key: value for key, value in values.items() if value is not None}


def require_place(data_dir: str) -> None:
    """Raise CniError(IO_FAILURE) where backups could not be kept. It need not exist yet."""
    existing = data_dir
    while not os.path.lexists(existing or "."):
        existing = os.path.dirname(existing)
    existing = existing or "."
    if not (os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK)):
        raise CniError(
            IO_FAILURE, f'key "dataDir": found "{data_dir}", expected a directory to write in'
        )


def put_back(path: str, old: bytes | None) -> None:
    """Undo `save`."""
    if old is None:
        remove(path)
    else:
        _write(path, old)


def _write(path: str, data: bytes) -> None:
    """All or nothing: a DEL after a kill finds a whole file. After a reboot nobody wants it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path + _UNFINISHED, flags, 0o600)
    try:
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        os.rename(path + _UNFINISHED, path)
    except BaseException:
        os.unlink(path + _UNFINISHED)
        raise


def remove(path: str) -> None:
    """Remove a backup, and what an ADD that was killed has left of one. Raises OSError."""
    for each in (path, path + _UNFINISHED):
        try:
            os.unlink(each)
        except (FileNotFoundError, NotADirectoryError):
            pass


def of_network(data_dir: str, network: str) -> Iterator[str]:
    """The paths of the network's backups; the reference's do not tell. Raises OSError.

    Also of those that an ADD which was killed has not finished, whose content tells nothing mostly.
    """
    try:
        names = os.listdir(data_dir)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = os.path.join(data_dir, name)
        finished = name.endswith(".json")
        if (finished or name.endswith(f".json{_UNFINISHED}")) and os.path.isfile(path):
            found = read(path)
            whose = None if found is None else found.get("network")
            if whose == network or (whose is None and not finished):
                yield path.removesuffix(_UNFINISHED)
