"""What the environment and the command line say: the reference's variables, checked and typed."""

from __future__ import annotations

import os
import sys

from cni.errors import INVALID_CONFIG, INVALID_ENVIRONMENT, CniError
from cni.jsonvalue import parse_object
from cni.names import ifname_problem
from cni.record import record
from libcni.attachment import Attachment, parse_args
from libcni.cache import DEFAULT_DIRECTORY as CACHE_DIRECTORY
from libcni.conf import network_from_bytes, network_from_file
from libcni.confdir import DEFAULT_DIRECTORY as CONF_DIRECTORY
from libcni.confdir import NetworkNotFoundError, load_network
from libcni.errors import within
from libcni.runtime import DEFAULT_TIMEOUT, Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.jsonvalue import JsonValue
    from libcni.conf import NetworkConfigList

PLUGIN_DIRECTORIES = "/opt/cni/bin:/usr/lib/cni"
"""The reference's, and that of Debian's packages."""


@record
class Settings:
    """path: CNI_PATH. conf_dir: NETCONFPATH. cache_dir, timeout, ifname: options; ifname is empty
    where neither option nor CNI_IFNAME names one. environ: the whole environment."""

    path: tuple[str, ...]
    conf_dir: str
    environ: Mapping[str, str]
    ifname: str = ""
    cache_dir: str = CACHE_DIRECTORY
    timeout: float | None = DEFAULT_TIMEOUT

    def runtime(self) -> Runtime:
        return Runtime(self.path, self.cache_dir, timeout=self.timeout, environ=self.environ)

    def attachment(self, netns: str) -> Attachment:
        """The namespace at a path as a container.

        Raises CniError(INVALID_ENVIRONMENT) that names the variable.
        """
        return Attachment(
            container_id(netns),
            os.path.abspath(netns),
            self.interface(),
            self.args(),
            self.capability_args(),
        )

    def interface(self) -> str:
        """The interface's name, eth0 where none is given. Raises CniError."""
        problem = ifname_problem(self.ifname or "eth0")
        if problem:
            raise CniError(INVALID_ENVIRONMENT, f"CNI_IFNAME: {problem}")
        return self.ifname or "eth0"

    def args(self) -> tuple[tuple[str, str], ...] | None:
        """CNI_ARGS, None without any. Raises CniError."""
        text = self.environ.get("CNI_ARGS", "")
        return parse_args(text) if text else None

    def capability_args(self) -> Mapping[str, JsonValue] | None:
        """CAP_ARGS, None without any. Raises CniError."""
        text = self.environ.get("CAP_ARGS", "")
        if not text:
            return None
        try:
            return parse_object(os.fsencode(text), "CAP_ARGS").raw
        except CniError as error:
            msg = f'{error.msg}; expected such as {{"portMappings": [...]}}'
            raise CniError(INVALID_ENVIRONMENT, msg) from None

    def network(self, name: str) -> NetworkConfigList:
        """A network by its name in NETCONFPATH, or by the path of its file, which has a slash.

        Raises CniError: NetworkNotFoundError with what there is instead.
        """
        if "/" in name:
            return network_from_file(name)
        try:
            return load_network(self.conf_dir, name)
        except NetworkNotFoundError as error:
            raise self.explained(name, error) from None

    def explained(self, name: str, error: NetworkNotFoundError) -> NetworkNotFoundError:
        """The error with the way out of it."""
        import difflib

        if not os.path.isdir(self.conf_dir):
            hint = f"NETCONFPATH: {self.conf_dir} is no directory"
        elif near := difflib.get_close_matches(name, error.names, n=1):
            hint = f"did you mean {near[0]}?"
        else:
            hint = "NETCONFPATH names the directory"
        details = "; ".join(filter(None, (hint, error.details)))
        return NetworkNotFoundError(error.msg, details, error.names)

    def network_to_leave(self, name: str, attachment: Attachment) -> NetworkConfigList:
        """A network to detach from: as its file has it, and without a good file as it was on ADD.

        Raises CniError.
        """
        try:
            return self.network(name)
        except CniError as error:
            entry = self.runtime().cache.load(name, attachment.key)
            if entry is None or not entry.config:
                raise
            sys.stderr.write(f"{error.msg}: using the configuration kept in {entry.path}\n")
            try:
                return network_from_bytes(entry.config, f"the configuration in {entry.path}")
            except CniError as second:
                raise within(error.msg, second) from None


def read_settings(
    environ: Mapping[str, str], ifname: str, cache_dir: str, timeout: float
) -> Settings:
    """The settings; the options' empty and zero values mean what the variables or defaults say.

    Raises CniError(INVALID_CONFIG) for a time-out that is none.
    """
    if not 0 <= timeout < float("inf"):
        raise CniError(INVALID_CONFIG, f"--timeout: found {timeout:g}, expected seconds from 0 on")
    path = environ.get("CNI_PATH") or PLUGIN_DIRECTORIES
    return Settings(
        path=tuple(part for part in path.split(os.pathsep) if part),
        conf_dir=environ.get("NETCONFPATH") or CONF_DIRECTORY,
        environ=environ,
        ifname=ifname or environ.get("CNI_IFNAME", ""),
        cache_dir=cache_dir or CACHE_DIRECTORY,
        timeout=timeout or None,
    )


def container_id(netns: str) -> str:
    """The id the reference's cnitool gives the container of a namespace, so that both agree."""
    import hashlib

    digest = hashlib.sha512(os.fsencode(os.path.abspath(netns))).digest()
    return f"cnitool-{digest[:10].hex()}"
