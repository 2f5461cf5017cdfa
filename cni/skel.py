"""The door: the only place that reads the environment and stdin, and prints.

A plugin is a `Plugin` whose verbs take a `Call` and return a `Result` or raise a
`CniError`. The executable, a warm worker and a test all call the same functions; `serve` adds
what the protocol wants around them: one JSON document on stdout or nothing, an exit status, and
never a traceback where JSON is expected.
"""

from __future__ import annotations

import errno
import os
import sys
from io import BytesIO

from cni import jsontext
from cni.errors import INTERNAL, IO_FAILURE, SYSTEM, TRY_AGAIN_LATER, CniError, notes
from cni.record import record
from cni.stderr import say
from cni.versions import CURRENT, SPEC_VERSIONS, version_answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Mapping
    from types import FrameType
    from typing import Protocol

    from cni.bundle import Bundle
    from cni.call import Call
    from cni.explained import Explained
    from cni.jsonvalue import JsonValue
    from cni.result import Result

    class Readable(Protocol):
        """A binary stream to read from."""

        def read(self, size: int, /) -> bytes:
            """At most `size` bytes, less only at its end."""
            ...

    class Writable(Protocol):
        """A binary stream to write to, with or without a buffer."""

        def write(self, data: memoryview, /) -> int | None:
            """As much as goes; gives how much."""
            ...

        def flush(self) -> None:
            """Let nothing be held back."""
            ...
else:
    import _signal  # `signal` dresses the numbers up as enums, which takes 4 ms

_SHOWN = 500
_LONGEST = 4000
"""Characters of an error's `msg` and of its `details`."""
_NEEDS = ("CAP_NET_ADMIN", "CAP_SYS_ADMIN")
"""Shaping a network, and entering a container's namespace."""
# The words of EPERM and EACCES, and iptables-legacy's. An error that was made of several, and a
# program, have words only.
_REFUSALS = ("not permitted", "ermission denied", "nable to initialize")


@record
class Plugin:
    """One plugin: its name, what it says of itself without CNI_COMMAND, and its verbs.

    add returns a Result; the others return nothing and raise CniError to fail. gc and status may
    be missing: SPEC.md then has them succeed. needs: the capabilities (capabilities(7)) that not
    all of its verbs work without.

    enters: whether any of its verbs enters the container's namespace. One that does not, as an IPAM
    plugin, is also called without there being any, and CNI_NETNS may be any path but its own
    namespace's.

    strict_args: whether it refuses a key of CNI_ARGS that no plugin of the suite knows, unless
    IgnoreUnknown is set there (CONVENTIONS.md), as those of the reference do that read any. Others
    pass over what they do not understand.

    restore is no verb of the protocol, and no executable answers it: for an attachment that runs,
    lay down again what the packet filter and the host's sysctls have lost of what its ADD made. It
    takes a call such as CHECK's, touches no interface, allocates nothing, leaves alone what is
    there, and gives whether anything had to be done. Plugins whose ADD makes nothing of the kind
    have none.

    explain is none either: what an ADD of this call would do, from the config and by looking at the
    host. It changes nothing and needs no container: the call's namespace is a name only, and its
    container's id may be empty.
    """

    name: str
    about: str
    add: Callable[[Call], Result]
    delete: Callable[[Call], None]
    check: Callable[[Call], None]
    gc: Callable[[Call], None] | None = None
    status: Callable[[Call], None] | None = None
    needs: tuple[str, ...] = _NEEDS
    restore: Callable[[Call], bool] | None = None
    explain: Callable[[Call], Explained] | None = None
    enters: bool = True
    strict_args: bool = False

    def added(self, call: Call) -> Result:
        """ADD, with errors that name this plugin and the network."""
        try:
            return self.add(call)
        except (CniError, OSError) as error:
            raise self._named(error, call) from error

    def perform(self, call: Call) -> None:
        """Any verb but ADD and VERSION, with errors that name this plugin and the network."""
        verb = {
            "DEL": self.delete,
            "CHECK": self.check,
            "GC": self.gc,
            "STATUS": self.status,
        }[call.command]
        try:
            if verb is not None:
                verb(call)
        except (CniError, OSError) as error:
            raise self._named(error, call) from error

    def restored(self, call: Call) -> bool:
        """`restore`, with errors that name this plugin and the network."""
        try:
            return self.restore is not None and self.restore(call)
        except (CniError, OSError) as error:
            raise self._named(error, call) from error

    def explained(self, call: Call) -> Explained:
        """`explain`, with errors that name this plugin and the network."""
        assert self.explain is not None, f"{self.name} explains nothing"
        try:
            return self.explain(call)
        except (CniError, OSError) as error:
            raise self._named(error, call) from error

    def _named(self, error: CniError | OSError, call: Call) -> CniError:
        return _named(error, f'{self.name} on network "{call.network}"', self.needs)


class _NamedError(CniError):
    """An error whose message says whose it is."""


def _named(error: CniError | OSError, where: str, needs: tuple[str, ...] = ()) -> CniError:
    left = notes(error)  # what could not be undone
    hint = _hint(str(error), needs)
    if isinstance(error, OSError):  # hostnet's errors are OSErrors with a sentence of their own
        code = TRY_AGAIN_LATER if isinstance(error, TimeoutError) else SYSTEM
        return _NamedError(code, f"{where}: {error}{hint}", left)
    details = "; ".join(filter(None, (error.details, left)))
    return _NamedError(error.code, f"{where}: {error.msg}{hint}", details)


def _hint(text: str, needs: tuple[str, ...]) -> str:
    """What to end a refusal's text with: the privileges that are missing."""
    if not any(words in text for words in _REFUSALS):
        return ""
    from cni import privilege

    return privilege.hint(text, needs)


class Terminated(BaseException):
    """SIGTERM or SIGINT arrived: undo what the call did, then end."""


class UnheardError(Exception):
    """The answer could not be written: whoever asked is gone."""


_SIGNALS: dict[int, str] = {_signal.SIGTERM: "SIGTERM", _signal.SIGINT: "SIGINT"}
_deaf = False
"""Whether a signal comes too late: the answer is being written, or what was done is undone."""


def run(plugin: Plugin) -> int:
    """Serve one call as an executable that is this plugin and no other; returns the exit status.

    For plugins that are not of this suite: `sys.exit(run(Plugin("mine", ...)))` is all that a
    script needs (docs/tutorial/plugin.md).
    """
    from cni.bundle import Bundle

    return main(plugin.name, Bundle({plugin.name: lambda: plugin}, sys.argv[0]))


def main(name: str, bundle: Bundle) -> int:
    """Serve one call of the bundle's plugin `name` as a process; returns the exit status."""
    try:
        # Without a buffer, so that nothing comes out later of what could not be written.
        stdout = open(1, "wb", buffering=0, closefd=False)  # noqa: SIM115 - for the process's life
    except OSError as error:
        say(f"{name}: stdout is not open: {error.strerror}\n")
        return 1
    stdin = sys.stdin.buffer if sys.stdin else BytesIO()
    return serve(name, bundle, os.environ, stdin, stdout, obey=obey_signals)


def obey_signals() -> None:
    """Let SIGTERM and SIGINT end the call that is served, once; for `serve` to call."""
    for number in _SIGNALS:
        _signal.signal(number, _terminate)


def ignore_signals() -> None:
    """Let them pass: no call is served."""
    for number in _SIGNALS:
        _signal.signal(number, _signal.SIG_IGN)


def _terminate(number: int, _: FrameType | None) -> None:
    ignore_signals()  # once is enough: a second must not cut the undoing short, nor a delegate's
    if not _deaf:
        raise Terminated(_SIGNALS[number])


def serve(
    name: str,
    bundle: Bundle,
    environ: Mapping[str, str],
    stdin: Readable,
    stdout: Writable,
    *,
    obey: Callable[[], None] = lambda: None,
) -> int:
    """Answer one call. Prints a JSON document or nothing on stdout; returns the exit status.

    obey: called where `Terminated` may be raised from then on, and not before.
    """
    global _deaf
    command = environ.get("CNI_COMMAND", "")
    _deaf = command == "VERSION"  # in which there is nothing to end
    if _deaf:
        obey()
        return _tell(stdout, version_answer(), 0)
    where = f"{name}: {command}"
    version, config = CURRENT, b""
    failure: CniError | None = None
    try:
        try:
            obey()
            if "CNI_COMMAND" not in environ:
                return _introduce(bundle.plugins[name]())
            # Not at the top: VERSION, which runtimes ask of every plugin over and over, needs none.
            from cni.call import read_rest

            plugin = bundle.plugins[name]()
            config = _config(environ, stdin)
            call = read_rest(environ, config, bundle, plugin)
            version = call.version
            if command == "ADD":
                _add(plugin, call, stdout)
            else:
                plugin.perform(call)
        except _NamedError as error:
            failure = error
        except CniError as error:  # found before the plugin was asked
            version, failure = _refused(error, name, config)
        except UnheardError as error:
            say(f"{where}: {error}\n")
            return 1
        except (Exception, SystemExit) as defect:  # noqa: BLE001 - the caller gets JSON anyway
            failure = _unforeseen(where, defect)
        _deaf = True
    except Terminated as signalled:  # also one that strikes while a failure is put into words
        failure = _cut_short(name, command, signalled)
    return 0 if failure is None else _fail(stdout, failure, version)


def _introduce(plugin: Plugin) -> int:
    """Say what it is. As the reference, which nerdctl asks so, and wants to see succeed."""
    say(f"{plugin.about}\nCNI protocol versions supported: {', '.join(SPEC_VERSIONS)}\n")
    return 0


def _config(environ: Mapping[str, str], stdin: Readable) -> bytes:
    from cni.call import check_variables
    from cni.jsonvalue import MAX_DOCUMENT

    check_variables(environ)  # before stdin, at which a person may sit
    try:
        return stdin.read(MAX_DOCUMENT + 1)
    except OSError as error:
        raise CniError(IO_FAILURE, f"stdin cannot be read: {error.strerror}") from error


def _refused(error: CniError, name: str, config: bytes) -> tuple[str, CniError]:
    """An error of a call that the plugin has not seen, and the version to tell it in."""
    from cni.call import stated

    version, network = stated(config)
    where = f'{name} on network "{network}"' if network else name
    return version or CURRENT, _named(error, where)


def _add(plugin: Plugin, call: Call, stdout: Writable) -> None:
    """Answer an ADD. One that the runtime sees fail leaves nothing, whatever made it fail."""
    from cni.wire import encode

    result = None
    try:
        result = plugin.added(call)
        _print(stdout, encode(result, call.version))
    except BaseException as error:
        # The verb undoes what fails in it. A signal may come when its undo stack is gone already.
        if result is not None or isinstance(error, Terminated):
            _take_back(plugin, call, error)
        raise


def _take_back(plugin: Plugin, call: Call, error: BaseException) -> None:
    global _deaf
    _deaf = True
    try:
        plugin.delete(call.as_delete())
    except BaseException as problem:  # noqa: BLE001 - the first error is the one to tell
        error.add_note(f"while undoing: {problem}")


def _print(stdout: Writable, document: dict[str, JsonValue]) -> None:
    """Raises UnheardError."""
    global _deaf
    data = memoryview(jsontext.dumps(document).encode() + b"\n")
    _deaf = True
    try:
        while data:
            written = stdout.write(data)
            if not written:
                raise BlockingIOError(errno.EAGAIN, "nobody reads it")
            data = data[written:]
        stdout.flush()
    except OSError as error:
        raise UnheardError(f"stdout cannot be written: {error.strerror}") from error


def _tell(stdout: Writable, document: dict[str, JsonValue], status: int) -> int:
    try:
        _print(stdout, document)
    except UnheardError as error:
        say(f"{error}\n")
        return 1
    return status


def _fail(stdout: Writable, error: CniError, version: str) -> int:
    msg, details = _bounded(error.msg), _bounded(error.details)
    document: dict[str, JsonValue] = {"cniVersion": version, "code": error.code, "msg": msg}
    if details:
        document["details"] = details
    return _tell(stdout, document, 1)


def _bounded(text: str) -> str:
    """A text without its middle if it is too long: a key, a path or a name may have megabytes."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"


def _cut_short(name: str, command: str, signalled: Terminated) -> CniError:
    left = notes(signalled)
    if command != "ADD":
        how = "call it again"
    else:
        how = "not all it had done could be undone" if left else "what it had done is undone"
    return CniError(TRY_AGAIN_LATER, f"{name}: {command} was ended by {signalled}; {how}", left)


def _unforeseen(where: str, defect: BaseException) -> CniError:
    """The error for an exception that no verb should let out, told whole on stderr."""
    try:
        import traceback

        say(traceback.format_exc())
    except Exception:  # noqa: BLE001, S110 - no memory or no descriptor is left, perhaps
        pass
    if isinstance(defect, (OSError, MemoryError)):
        return CniError(SYSTEM, f"{where}: {str(defect) or 'out of memory'}", notes(defect))
    what = f"{type(defect).__name__}: {str(defect)[:_SHOWN]}"
    return CniError(INTERNAL, f"{where} failed inside: {what}; please report it", notes(defect))
