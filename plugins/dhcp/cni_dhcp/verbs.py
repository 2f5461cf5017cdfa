"""The verbs: a question to the daemon each. DEL and GC do without it where there is none."""

from __future__ import annotations

import os

from cni import wire
from cni.call import owner
from cni.errors import CHECK_FAILED, IO_FAILURE, NOT_AVAILABLE, CniError
from cni.jsonvalue import parse_object
from cni.versions import CURRENT
from cni_dhcp import files
from cni_dhcp.client import DaemonGoneError, ask
from cni_dhcp.config import read_config, read_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from cni.call import Call
    from cni.jsonvalue import JsonValue
    from cni.result import Result


def add(call: Call) -> Result:
    """What the network gave, once the daemon has it. Raises CniError."""
    terms = read_config(call)
    question = {**_attachment("ADD", call), **_place(call), "terms": terms.document()}
    return wire.decode(ask(read_socket(call), question).object("result"), CURRENT)


def delete(call: Call) -> None:
    """Give the leases back. Raises CniError.

    Without a daemon the lease is forgotten, and its server has the address again when it runs out.
    """
    path = read_socket(call)
    question = _attachment("DEL", call)
    try:
        ask(path, question)
    except DaemonGoneError:
        if _forget(path, {files.name_of(call.owner)}):
            _ask_again(path, question)


def check(call: Call) -> None:
    """Raise CniError(CHECK_FAILED) unless the daemon keeps what the previous result says."""
    read_config(call)
    answer = ask(read_socket(call), {**_attachment("CHECK", call), **_place(call)})
    held = answer.strings("addresses")
    previous = call.prev_result.ips if call.prev_result is not None else ()
    wanted = [str(one.address) for one in previous]
    problems = answer.strings("problems")
    if wanted and not set(held) <= set(wanted):
        problems.append(
            f"the network has given {', '.join(held)} meanwhile, and the previous result says "
            f"{', '.join(wanted)}"
        )
    if problems:
        raise CniError(CHECK_FAILED, "; ".join(problems))


def gc(call: Call) -> None:
    """Give the leases of attachments that are not valid back. Raises CniError."""
    path = read_socket(call)
    valid: list[JsonValue] = [
        {"containerID": one.container_id, "ifname": one.ifname} for one in call.valid_attachments
    ]
    question: dict[str, JsonValue] = {"verb": "GC", "network": call.network, "valid": valid}
    try:
        ask(path, question)
    except DaemonGoneError:
        keep = {files.name_of(owner(call.network, one)) for one in call.valid_attachments}
        if _forget(path, _of_network(path, call.network) - keep):
            _ask_again(path, question)


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE) with the reason why an ADD could not succeed."""
    try:
        read_config(call)
        ask(read_socket(call), {"verb": "STATUS"})
    except CniError as error:
        raise CniError(NOT_AVAILABLE, error.msg, error.details) from error


def _attachment(verb: str, call: Call) -> dict[str, JsonValue]:
    return {
        "verb": verb,
        "network": call.network,
        "container": call.container_id,
        "ifname": call.ifname,
    }


def _place(call: Call) -> dict[str, JsonValue]:
    """The namespace by its path, which the daemon opens itself, and by what it must find there."""
    found = os.stat(call.netns)
    namespace: list[JsonValue] = [found.st_dev, found.st_ino]
    return {"netns": os.path.abspath(call.netns), "namespace": namespace}


def _ask_again(path: str, question: dict[str, JsonValue]) -> None:
    """For a daemon that has started since, and read the file that is gone now."""
    try:
        ask(path, question)
    except DaemonGoneError:
        pass


def _forget(path: str, names: Collection[str]) -> bool:
    """Remove these files of a daemon that is not there; whether there were any."""
    directory = files.directory_of(path)
    try:
        return sum(files.remove(directory, name) for name in names) > 0
    except OSError as error:
        raise CniError(
            IO_FAILURE,
            f"lease directory {directory}: {error.strerror}; mend it and repeat the call",
        ) from error


def _of_network(path: str, network: str) -> set[str]:
    """The files of a network, by what they say; torn ones are anybody's."""
    found: set[str] = set()
    try:
        for name, content in files.contents(files.directory_of(path)):
            try:
                document = parse_object(content, name)
                mine = document.string("network") == network
            except CniError:
                mine = True
            if mine:
                found.add(name)
    except OSError as error:
        raise CniError(IO_FAILURE, f"lease directory of {path}: {error.strerror}") from error
    return found
