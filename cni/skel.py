"""The door: the only place that reads the environment and stdin, and prints.

A plugin is a `Plugin` whose verbs take a `Call` and return a `Result` or raise a
`CniError`. The executable, a warm worker and a test all call the same functions; `serve` adds
what the protocol wants around them: one JSON document on stdout or nothing, an exit status, and
never a traceback where JSON is expected.
"""

from __future__ import annotations

import os
import sys

from cni import jsontext
from cni.errors import INTERNAL, IO_FAILURE, SYSTEM, TRY_AGAIN_LATER, CniError
from cni.record import record
from cni.versions import CURRENT, SPEC_VERSIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Mapping
    from types import FrameType
    from typing import BinaryIO, NoReturn

    from cni.bundle import Bundle
    from cni.call import Call
    from cni.jsonvalue import JsonValue
    from cni.result import Result
else:
    import _signal  # `signal` dresses the numbers up as enums, which takes 4 ms


@record
class Plugin:
    """One plugin: its name, a line about it, and its verbs.

    add returns a Result; the others return nothing and raise CniError to fail. gc and status may
    be missing: SPEC.md then has them succeed.
    """

    name: str
    about: str
    add: Callable[[Call], Result]
    delete: Callable[[Call], None]
    check: Callable[[Call], None]
    gc: Callable[[Call], None] | None = None
    status: Callable[[Call], None] | None = None

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

    def _named(self, error: CniError | OSError, call: Call) -> CniError:
        notes = "; ".join(getattr(error, "__notes__", ()))  # what could not be undone
        where = f'{self.name} on network "{call.network}"'
        if isinstance(error, OSError):  # hostnet's errors are OSErrors with a sentence of their own
            return CniError(SYSTEM, f"{where}: {error}", notes)
        details = "; ".join(filter(None, (error.details, notes)))
        return CniError(error.code, f"{where}: {error.msg}", details)


class Terminated(BaseException):
    """SIGTERM or SIGINT arrived: undo what the call did, then end."""


def main(name: str, bundle: Bundle) -> int:
    """Serve one call of the bundle's plugin `name` as a process; returns the exit status."""
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, _terminate)
    return serve(name, bundle, os.environ, sys.stdin.buffer, sys.stdout.buffer)


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    # Once is enough: a second signal must not cut the undoing short.
    _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    import signal

    raise Terminated(signal.Signals(number).name)


def serve(
    name: str, bundle: Bundle, environ: Mapping[str, str], stdin: BinaryIO, stdout: BinaryIO
) -> int:
    """Answer one call. Prints a JSON document or nothing on stdout; returns the exit status."""
    command = environ.get("CNI_COMMAND", "")
    version = CURRENT
    try:
        if command == "VERSION":
            _print(stdout, {"cniVersion": CURRENT, "supportedVersions": list(SPEC_VERSIONS)})
            return 0
        if not command:
            _introduce(bundle.plugins[name]().about)
        # Not before: VERSION, which runtimes ask of every plugin over and over, needs neither.
        from cni import wire
        from cni.call import read_call

        call = read_call(environ, _read(stdin), bundle)
        version = call.version
        plugin = bundle.plugins[name]()
        if command == "ADD":
            _print(stdout, wire.encode(plugin.added(call), call.version))
        else:
            plugin.perform(call)
    except CniError as error:
        return _fail(stdout, error, version)
    except Terminated as signalled:
        ended = CniError(TRY_AGAIN_LATER, f"{name}: {command} ended by {signalled}, and undone")
        return _fail(stdout, ended, version)
    except Exception as defect:  # noqa: BLE001 - whatever it is, the caller gets JSON
        return _fail(stdout, _unforeseen(name, command, defect), version)
    return 0


def _introduce(about: str) -> None:
    sys.stderr.write(f"{about}\nCNI protocol versions supported: {', '.join(SPEC_VERSIONS)}\n")


def _read(stdin: BinaryIO) -> bytes:
    try:
        return stdin.read()
    except OSError as error:
        raise CniError(IO_FAILURE, f"stdin cannot be read: {error.strerror}") from error


def _print(stdout: BinaryIO, document: dict[str, JsonValue]) -> None:
    stdout.write(jsontext.dumps(document).encode() + b"\n")
    stdout.flush()


def _fail(stdout: BinaryIO, error: CniError, version: str) -> int:
    document: dict[str, JsonValue] = {"cniVersion": version, "code": error.code, "msg": error.msg}
    if error.details:
        document["details"] = error.details
    try:
        _print(stdout, document)
    except OSError:  # nobody listens; the exit status still says it
        pass
    return 1


def _unforeseen(name: str, command: str, defect: Exception) -> CniError:
    """The error for an exception no verb should let out: told whole on stderr."""
    import traceback

    traceback.print_exc()
    return CniError(
        INTERNAL,
        f"{name}: {command} failed inside: {type(defect).__name__}: {defect}; please report it",
    )
