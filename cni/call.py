"""A call as the runtime made it: environment and stdin in, one frozen `Call` out.

Everything that can be wrong with a call and does not depend on the plugin is found here, before
anything has a side effect.
"""

from __future__ import annotations

import errno
import os
import stat

from cni import wire
from cni.errors import INVALID_CONFIG, INVALID_ENVIRONMENT, SYSTEM, CniError
from cni.jsonvalue import parse_object
from cni.names import ifname_problem, name_problem
from cni.record import record, replace
from cni.versions import UNSTATED, require_supported, require_verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.bundle import Bundle
    from cni.jsonvalue import JsonObject
    from cni.result import Result
    from cni.skel import Plugin

COMMANDS = ("ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION")
_ATTACHMENT_VERBS = ("ADD", "DEL", "CHECK")
_NEEDED = {
    "ADD": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_PATH"),
    "CHECK": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_PATH"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
    "GC": ("CNI_PATH",),
    "STATUS": ("CNI_PATH",),
}
"""What must not be empty: as the reference's skel has it, but for a DEL, which cleans up what it
can (SPEC.md, section 2, makes CNI_PATH optional there)."""
_CONVENTIONAL_ARGS = frozenset({"IgnoreUnknown", "IP", "MAC", "GATEWAY"})
"""The CNI_ARGS keys of CONVENTIONS.md that some plugin of the suite reads."""

_NOT_OF_THE_PATH = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that say nothing about the namespace: to a DEL it must not look gone."""
_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h
_CLONE_NEWNET = 0x40000000  # linux/sched.h


@record
class Attachment:
    """A container's interface on a network: what ADD makes and DEL removes."""

    container_id: str
    ifname: str


@record
class Call:
    """One call of one plugin.

    command: one of COMMANDS but VERSION. container_id, ifname: checked names; empty for GC and
    STATUS. netns: a path; for DEL empty if there is no namespace any more. args: CNI_ARGS.
    path: the directories of CNI_PATH. config, stdin: the plugin's config, decoded and as it came.
    environ: the whole environment, for plugins that are delegated to. prev_result: of the plugin
    before in the chain. valid_attachments: for GC only. bundle: the plugins that can be delegated
    to without a process, None where there are none. delegated: another plugin of the bundle asks,
    and not a runtime.
    """

    command: str
    network: str
    version: str
    config: JsonObject
    stdin: bytes
    environ: Mapping[str, str]
    container_id: str = ""
    ifname: str = ""
    netns: str = ""
    args: Mapping[str, str] = {}
    path: tuple[str, ...] = ()
    prev_result: Result | None = None
    valid_attachments: frozenset[Attachment] = frozenset()
    bundle: Bundle | None = None
    delegated: bool = False

    @property
    def attachment(self) -> Attachment:
        """The attachment on its network."""
        return Attachment(self.container_id, self.ifname)

    @property
    def owner(self) -> str:
        """The attachment among all networks: what everything it owns is labelled with."""
        return owner(self.network, self.attachment)

    def mac_argument(self) -> str:
        """MAC of CNI_ARGS, empty where it is not given. Raises CniError(INVALID_ENVIRONMENT)."""
        text = self.args.get("MAC", "")
        if not text:
            return ""
        from cni.ip import parse_mac

        try:
            return parse_mac(text)
        except ValueError as error:
            raise CniError(
                INVALID_ENVIRONMENT, f"CNI_ARGS MAC: {error}; expected such as 02:00:5e:10:00:01"
            ) from None

    def outer_links(self) -> list[str]:
        """The host's links that the previous result tells of."""
        result = self.prev_result
        return [one.name for one in result.interfaces if not one.sandbox] if result else []

    def as_delete(self) -> Call:
        """The DEL of the same call, for an ADD that fails later on; a delegate sees one too."""
        return replace(self, command="DEL", environ={**self.environ, "CNI_COMMAND": "DEL"})


def owner(network: str, attachment: Attachment) -> str:
    """`network/container/ifname`: unambiguous, since none of the three may hold a slash."""
    return f"{network}/{attachment.container_id}/{attachment.ifname}"


def read_call(
    environ: Mapping[str, str],
    stdin: bytes,
    bundle: Bundle | None = None,
    plugin: Plugin | None = None,
) -> Call:
    """Check a call's environment and config and freeze them.

    plugin: whose call it is; without it, of one that needs all that there is.
    Raises CniError: INVALID_ENVIRONMENT names the variable, DECODE_FAILURE and INVALID_CONFIG the
    key, INCOMPATIBLE_VERSION the version that does not know the verb.
    """
    check_variables(environ)
    return read_rest(environ, stdin, bundle, plugin)


def read_rest(
    environ: Mapping[str, str], stdin: bytes, bundle: Bundle | None, plugin: Plugin | None
) -> Call:
    """`read_call` of an environment that `check_variables` has seen."""
    command = environ["CNI_COMMAND"]
    config = parse_object(stdin, "the network config on stdin")
    version = config.string("cniVersion") or UNSTATED
    require_supported(version)
    require_verb(version, command)
    network = config.string("name")
    problem = name_problem(network)
    if problem:
        raise CniError(INVALID_CONFIG, f'key "name" (the network\'s): {problem}')
    call = Call(command, network, version, config, stdin, environ, bundle=bundle)
    if command in _ATTACHMENT_VERBS:
        return _with_attachment(call, plugin)
    return _without_attachment(call)


def stated(stdin: bytes) -> tuple[str, str]:
    """The version and the network that a config states, each empty where it cannot be read.

    For the error of a call that `read_call` has refused.
    """
    version = network = ""
    try:
        config = parse_object(stdin, "the network config on stdin")
        version = config.string("cniVersion") or UNSTATED
        require_supported(version)
    except CniError:
        return "", ""
    try:
        network = config.string("name")
    except CniError:
        pass
    return version, "" if name_problem(network) else network


def check_variables(environ: Mapping[str, str]) -> None:
    """Check what can be checked before stdin is read: the verb, what it needs, the names.

    Raises CniError(INVALID_ENVIRONMENT).
    """
    command = environ.get("CNI_COMMAND", "")
    if command not in COMMANDS:
        raise CniError(
            INVALID_ENVIRONMENT,
            f"CNI_COMMAND: found {command[:40]!r}, expected one of {', '.join(COMMANDS)}",
        )
    missing = [name for name in _NEEDED.get(command, ()) if not environ.get(name)]
    if missing:
        raise CniError(
            INVALID_ENVIRONMENT, f"{command} needs {', '.join(missing)}, missing in the environment"
        )
    if command not in _ATTACHMENT_VERBS:
        return
    for name, problem in (
        ("CNI_CONTAINERID", name_problem(environ["CNI_CONTAINERID"])),
        ("CNI_IFNAME", ifname_problem(environ["CNI_IFNAME"])),
    ):
        if problem:
            raise CniError(INVALID_ENVIRONMENT, f"{name}: {problem}")


def _with_attachment(call: Call, plugin: Plugin | None) -> Call:
    environ = call.environ
    enters = plugin is None or plugin.enters
    return replace(
        call,
        container_id=environ["CNI_CONTAINERID"],
        ifname=environ["CNI_IFNAME"],
        netns=_netns(call.command, environ, enters=enters),
        args=_args(environ, strict=_is_strict(call.command, plugin)),
        path=_path(environ),
        prev_result=_prev_result(call),
    )


def _without_attachment(call: Call) -> Call:
    if call.command != "GC":
        return replace(call, path=_path(call.environ))
    valid = read_valid_attachments(call.config)
    return replace(call, path=_path(call.environ), valid_attachments=valid)


def _path(environ: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(filter(None, environ.get("CNI_PATH", "").split(os.pathsep)))


def _prev_result(call: Call) -> Result | None:
    if not call.config.has("prevResult"):
        return None
    try:
        return wire.decode(call.config.object("prevResult"), call.version)
    except CniError:
        # A DEL must clean up whatever it can; a result that cannot be read is none.
        if call.command == "DEL":
            return None
        raise


def read_valid_attachments(config: JsonObject) -> frozenset[Attachment]:
    """The attachments a GC must keep: those under the key and those under its older spelling.

    null is an empty list, as Go writes it; a missing key is an error, since reading it as an empty
    list would remove every attachment. Raises CniError(INVALID_CONFIG).
    """
    keys = [
        key for key in ("cni.dev/valid-attachments", "cni.dev/attachments") if key in config.raw
    ]
    if not keys:
        raise config.wrong("cni.dev/valid-attachments", "a list of {containerID, ifname}")
    return frozenset(_valid_attachment(item) for key in keys for item in config.objects(key))


def _valid_attachment(item: JsonObject) -> Attachment:
    """Its names must be such that an ADD takes, since they become parts of others."""
    found = Attachment(item.required_string("containerID"), item.required_string("ifname"))
    for key, problem in (
        ("containerID", name_problem(found.container_id)),
        ("ifname", ifname_problem(found.ifname)),
    ):
        if problem:
            raise CniError(INVALID_CONFIG, f'key "{item.place(key)}": {problem}')
    return found


def check_args(call: Call, plugin: Plugin) -> None:
    """Check the CNI_ARGS of another plugin's call as that plugin does for its own.

    Raises CniError(INVALID_ENVIRONMENT).
    """
    if _is_strict(call.command, plugin):
        _args(call.environ, strict=True)


def _is_strict(command: str, plugin: Plugin | None) -> bool:
    return command in ("ADD", "CHECK") and (plugin is None or plugin.strict_args)


def _args(environ: Mapping[str, str], *, strict: bool) -> dict[str, str]:
    """CNI_ARGS, `K=V;K2=V2`; the last of a repeated key counts (CONVENTIONS.md).

    Without `strict` what cannot be understood is passed over.
    """
    args: dict[str, str] = {}
    for pair in filter(None, environ.get("CNI_ARGS", "").split(";")):
        key, equals, value = pair.partition("=")
        if equals:
            args[key] = value
        elif strict:
            raise CniError(
                INVALID_ENVIRONMENT, f"CNI_ARGS: found {pair[:40]!r}, expected KEY=VALUE pairs"
            )
    if not strict:
        return args
    ignore = args.get("IgnoreUnknown", "0")
    if ignore.lower() not in ("1", "true", "0", "false"):
        raise CniError(
            INVALID_ENVIRONMENT,
            f"CNI_ARGS: IgnoreUnknown is {ignore[:40]!r}, expected 1, true, 0 or false",
        )
    unknown = sorted(set(args) - _CONVENTIONAL_ARGS)
    if unknown and ignore.lower() in ("0", "false"):
        raise CniError(
            INVALID_ENVIRONMENT,
            f"CNI_ARGS: unknown key {unknown[0][:40]!r}; add IgnoreUnknown=1 to have such ignored",
        )
    return args


def _netns(command: str, environ: Mapping[str, str], *, enters: bool) -> str:
    """CNI_NETNS, proved to be a network namespace other than our own.

    A DEL gets the empty string where the namespace is gone: the path is missing, or is the plain
    file that unmounting a namespace leaves. CNI_NETNS_OVERRIDE=1 allows our own. A plugin that
    enters none takes whatever the path leads to, if only not our own.
    """
    path = environ.get("CNI_NETNS", "")
    if not path:
        return ""
    quoted = repr(path[:100])
    try:
        found = _network_namespace(path)
    except OSError as error:
        if error.errno in _NOT_OF_THE_PATH:
            raise CniError(
                SYSTEM, f"CNI_NETNS: {quoted} cannot be opened: {error.strerror}"
            ) from None
        problem = f"cannot be opened: {error.strerror}"
    except ValueError as error:
        problem = str(error)
    else:
        override = environ.get("CNI_NETNS_OVERRIDE", "").lower() in ("1", "true")
        # The link's text is what stat(2) of the link says (namespaces(7)), for half of its time.
        if override or f"net:[{found.st_ino}]" != os.readlink("/proc/thread-self/ns/net"):
            return path
        raise CniError(
            INVALID_ENVIRONMENT,
            f"CNI_NETNS: {quoted} is the plugin's own network namespace, expected the container's",
        )
    if command == "DEL":
        return ""
    if not enters:
        return path
    raise CniError(INVALID_ENVIRONMENT, f"CNI_NETNS: {quoted} {problem}")


def _network_namespace(path: str) -> os.stat_result:
    """What identifies the namespace. Raises OSError, or ValueError that says what it is instead."""
    import fcntl

    neither = "is no namespace, expected a network namespace such as /run/netns/NAME"
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):  # to open a device or a FIFO may do something
        raise ValueError(neither)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        kind = fcntl.ioctl(fd, _NS_GET_NSTYPE)
        if kind != _CLONE_NEWNET:
            raise ValueError("is a namespace of another kind, expected a network namespace")
    except OSError:
        raise ValueError(neither) from None
    finally:
        os.close(fd)
    return found
