"""A directory of network configurations, such as /etc/cni/net.d, and a network of it by name."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.jsonvalue import parse_object
from libcni.conf import NetworkConfigList, conf_files, network_from_file, read_file

DEFAULT_DIRECTORY = "/etc/cni/net.d"
LIST_EXTENSIONS = (".conflist",)
SINGLE_EXTENSIONS = (".conf", ".json")
_SHOWN = 200


class NetworkNotFoundError(CniError):
    """A directory has no configuration of that name; `names` are those it has."""

    def __init__(self, msg: str, details: str, names: tuple[str, ...]) -> None:
        super().__init__(INVALID_CONFIG, msg, details)
        self.names = names


def network_files(directory: str) -> list[str]:
    """All configuration files in the order in which they count: lists before single plugins."""
    return conf_files(directory, LIST_EXTENSIONS) + conf_files(directory, SINGLE_EXTENSIONS)


def load_networks(directory: str) -> tuple[list[NetworkConfigList], list[CniError]]:
    """Every network of a directory, and what is wrong with the files that hold none."""
    networks: list[NetworkConfigList] = []
    problems: list[CniError] = []
    for path in network_files(directory):
        try:
            networks.append(network_from_file(path))
        except CniError as error:
            problems.append(error)
    return networks, problems


def load_network(directory: str, name: str) -> NetworkConfigList:
    """The first network of that name.

    A broken file of another network is passed over: it must not keep this one's containers from
    being detached. Raises NetworkNotFoundError, or the CniError of a broken file of that name.
    """
    names: list[str] = []
    problems: list[str] = []
    for path in network_files(directory):
        try:
            network = network_from_file(path)
        except CniError as error:
            if stated_name(path) == name:
                raise
            problems.append(str(error))
            continue
        if network.name == name:
            return network
        names.append(network.name)
    raise _not_found(directory, name, names, problems)


def find_file(directory: str, name: str) -> str:
    """The path of the first file that states this name, however broken the rest of it is.

    Raises NetworkNotFoundError.
    """
    names: list[str] = []
    for path in network_files(directory):
        stated = stated_name(path)
        if stated == name:
            return path
        names.append(stated or f"({path})")
    raise _not_found(directory, name, names, [])


def stated_name(path: str) -> str:
    """The name a file gives its network; empty where none can be made out."""
    try:
        return parse_object(read_file(path), path).string("name")
    except CniError:
        return ""


def _not_found(
    directory: str, name: str, names: list[str], problems: list[str]
) -> NetworkNotFoundError:
    if not names and not problems:
        msg = (
            f"no net configurations found in {directory}: put a .conflist file there, or name "
            "another directory"
        )
    else:
        has = ", ".join(names) if names else "no network that can be read"
        msg = f'no net configuration with name "{name[:_SHOWN]}" in {directory}, which has {has}'
    return NetworkNotFoundError(msg, "; ".join(problems), tuple(names))
