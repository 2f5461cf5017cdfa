from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from cni import jsonvalue, wire
from cni.bundle import Bundle
from cni.call import Call
from cni.errors import (
    DECODE_FAILURE,
    INCOMPATIBLE_VERSION,
    INTERNAL,
    INVALID_CONFIG,
    INVALID_ENVIRONMENT,
    IO_FAILURE,
    NOT_AVAILABLE,
    SYSTEM,
    TRY_AGAIN_LATER,
    CniError,
)
from cni.result import Result
from cni.skel import Plugin, Terminated, serve
from tests.cni.calls import config, environment
from tests.cni.door import Answer, ask, bundle, judged, plugin
from tests.cni.samples import LAYER2, SINGLE_STACK
from tests.kit.namespace import Namespace
from tests.kit.versions import SPEC_VERSIONS, each_version, versions_since

VERBS = ("ADD", "DEL", "CHECK", "GC", "STATUS")
GC: dict[str, Any] = {"cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}]}


def raising(make: Callable[[], BaseException]) -> Callable[[Call], NoReturn]:
    def verb(_: Call) -> NoReturn:
        raise make()

    return verb


def failing(make: Callable[[], BaseException]) -> Plugin:
    """A plugin all of whose verbs raise."""
    verb = raising(make)
    return plugin(verb, verb, verb, verb, verb)


class Endless(io.RawIOBase):
    """A stdin that must not be read."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("stdin was read")


# ---- every verb, every outcome ------------------------------------------------------------------


@each_version
def test_an_add_prints_its_result_in_the_configs_version(
    version: str, namespace: Namespace
) -> None:
    answer = ask(plugin(), environment("ADD", namespace), config(version))
    assert answer == Answer(0, wire.encode(SINGLE_STACK, version))


@pytest.mark.parametrize("command", VERBS[1:])
def test_the_other_verbs_print_nothing(command: str, namespace: Namespace) -> None:
    assert ask(plugin(), environment(command, namespace), config(**GC)) == Answer(0, None)


@pytest.mark.parametrize("command", ["GC", "STATUS"])
def test_a_verb_the_plugin_has_not_succeeds(command: str) -> None:
    assert ask(plugin(gc=None, status=None), environment(command), config(**GC)) == Answer(0, None)


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1) + 1


def exhaust() -> BaseException:
    try:
        bytearray(2**62)
    except MemoryError as error:
        return error
    raise AssertionError("there was memory for it")


def noted() -> BaseException:
    error = CniError(NOT_AVAILABLE, "no.", "why")
    error.add_note("while undoing: one")
    error.add_note("while undoing: two")
    return error


def noted_os_error() -> BaseException:
    error = OSError("link vethx is busy")
    error.add_note("while undoing: one")
    return error


# What a verb raises: the code, the message after the plugin's and network's name, the details.
NAMED: dict[str, tuple[Callable[[], BaseException], int, str, str]] = {
    "CniError": (lambda: CniError(NOT_AVAILABLE, "no."), NOT_AVAILABLE, "no.", ""),
    "details": (lambda: CniError(INVALID_CONFIG, "no.", "why"), INVALID_CONFIG, "no.", "why"),
    "notes": (noted, NOT_AVAILABLE, "no.", "why; while undoing: one; while undoing: two"),
    "OSError": (lambda: OSError("link vethx is busy"), SYSTEM, "link vethx is busy", ""),
    "a lock": (lambda: TimeoutError("waited 10 s"), TRY_AGAIN_LATER, "waited 10 s", ""),
    "errno": (
        lambda: OSError(errno.ENOSPC, "No space left on device", "/var/lib/cni"),
        SYSTEM,
        "[Errno 28] No space left on device: '/var/lib/cni'",
        "",
    ),
    "noted OSError": (noted_os_error, SYSTEM, "link vethx is busy", "while undoing: one"),
}


@pytest.mark.parametrize("command", VERBS)
@pytest.mark.parametrize("name", NAMED)
def test_an_error_names_plugin_and_network(command: str, name: str, namespace: Namespace) -> None:
    make, code, msg, details = NAMED[name]
    error = ask(failing(make), environment(command, namespace), config(**GC)).error
    assert error["code"] == code
    assert error["msg"] == f'test on network "net": {msg}'
    assert error.get("details", "") == details


DEFECTS: dict[str, tuple[Callable[[], BaseException], int, str]] = {
    "defect": (lambda: KeyError("x"), INTERNAL, "failed inside: KeyError: 'x'; please report it"),
    "assertion": (AssertionError, INTERNAL, "failed inside: AssertionError: ;"),
    "long": (lambda: ValueError("x" * 10_000), INTERNAL, "failed inside: ValueError: xxx"),
    "exit": (lambda: SystemExit(0), INTERNAL, "failed inside: SystemExit: 0;"),
    "memory": (exhaust, SYSTEM, "out of memory"),
}


@pytest.mark.parametrize("command", VERBS)
@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_told_on_stderr_and_in_short_on_stdout(
    command: str, name: str, namespace: Namespace, capfd: pytest.CaptureFixture[str]
) -> None:
    make, code, msg = DEFECTS[name]
    error = ask(failing(make), environment(command, namespace), config(**GC)).error
    assert error["code"] == code
    assert error["msg"].startswith(f"test: {command}")
    assert msg in error["msg"]
    assert len(error["msg"]) < 700
    assert "Traceback (most recent call last)" in capfd.readouterr().err


@pytest.mark.parametrize("command", VERBS)
def test_recursion_without_end(command: str, namespace: Namespace) -> None:
    def verb(_: Call) -> NoReturn:
        recurse()
        raise AssertionError

    served = plugin(verb, verb, verb, verb, verb)
    error = ask(served, environment(command, namespace), config(**GC)).error
    assert error["code"] == INTERNAL
    assert "RecursionError" in error["msg"]


def test_an_error_is_never_as_long_as_what_it_is_about(namespace: Namespace) -> None:
    def add(_: Call) -> Result:
        raise CniError(7, "begin" + "x" * 1_000_000 + "end", "y" * 1_000_000)

    answer = ask(plugin(add), environment("ADD", namespace), config())
    msg, details = answer.error["msg"], answer.error["details"]
    assert "begin" in msg
    assert msg.endswith("end")
    assert len(msg) < 5000
    assert len(details) < 5000


def test_the_notes_of_a_defect_are_details(namespace: Namespace) -> None:
    def make() -> BaseException:
        error = KeyError("x")
        error.add_note("while undoing: one")
        return error

    error = ask(failing(make), environment("ADD", namespace), config()).error
    assert error["details"] == "while undoing: one"


@pytest.mark.parametrize("command", VERBS)
def test_being_ended_by_a_signal_is_code_11(command: str, namespace: Namespace) -> None:
    served = failing(lambda: Terminated("SIGTERM"))
    error = ask(served, environment(command, namespace), config(**GC)).error
    assert error["code"] == TRY_AGAIN_LATER
    # Its DEL, by which an ADD is undone, fails here as everything does.
    how = "not all it had done could be undone" if command == "ADD" else "call it again"
    assert error["msg"] == f"test: {command} was ended by SIGTERM; {how}"


@each_version
@pytest.mark.parametrize("command", VERBS)
def test_an_error_carries_the_configs_version(
    command: str, version: str, namespace: Namespace
) -> None:
    served = failing(lambda: CniError(NOT_AVAILABLE, "no."))
    error = ask(served, environment(command, namespace), config(version, **GC)).error
    since = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}.get(command, "0.1.0")
    code = NOT_AVAILABLE if version in versions_since(since) else INCOMPATIBLE_VERSION
    assert (error["code"], error["cniVersion"]) == (code, version)


@each_version
@pytest.mark.parametrize(
    ("environ", "keys", "code"),
    [
        ({"CNI_NETNS": "/nowhere"}, {}, INVALID_ENVIRONMENT),
        ({"CNI_NETNS": "/etc/passwd"}, {}, INVALID_ENVIRONMENT),
        ({}, {"prevResult": 5}, INVALID_CONFIG),
    ],
)
def test_so_does_one_that_the_plugin_has_not_seen(
    environ: dict[str, str],
    keys: dict[str, Any],
    code: int,
    version: str,
    namespace: Namespace,
) -> None:
    call = environment("ADD", namespace, **environ)
    error = ask(plugin(), call, config(version, **keys)).error
    assert (error["code"], error["cniVersion"]) == (code, version)
    assert error["msg"].startswith('test on network "net": ')


@pytest.mark.parametrize("name", [None, 7, "", "../x"])
def test_a_network_without_a_name_is_not_named(name: object, namespace: Namespace) -> None:
    error = ask(plugin(), environment("ADD", namespace), config("0.4.0", name=name)).error
    assert (error["code"], error["cniVersion"]) == (INVALID_CONFIG, "0.4.0")
    assert error["msg"].startswith('test: key "name"')


@pytest.mark.parametrize(
    ("stdin", "code"),
    [
        (b"", DECODE_FAILURE),
        (b"garbage", DECODE_FAILURE),
        (config("9.0.0"), INCOMPATIBLE_VERSION),
        (config(name=None), INVALID_CONFIG),
    ],
)
def test_an_error_of_the_door_names_the_plugin(stdin: bytes, code: int) -> None:
    error = ask(plugin(), environment("DEL"), stdin).error
    assert (error["code"], error["cniVersion"]) == (code, "1.1.0")
    assert error["msg"].startswith("test: ")


def test_a_delegates_error_names_the_whole_way(namespace: Namespace) -> None:
    inner = failing(lambda: CniError(NOT_AVAILABLE, "no."))

    def add(call: Call) -> Result:
        return inner.added(call)

    error = ask(plugin(add), environment("ADD", namespace), config()).error
    assert error["msg"] == 'test on network "net": test on network "net": no.'


# ---- VERSION, and nothing at all ----------------------------------------------------------------


def test_version_needs_neither_stdin_nor_the_plugin() -> None:
    def load() -> Plugin:
        raise AssertionError("the plugin was loaded")

    stdout = io.BytesIO()
    environ = {"CNI_COMMAND": "VERSION"}
    status = serve("test", Bundle({"test": load}, "x"), environ, Endless(), stdout)
    assert judged(status, stdout.getvalue(), "VERSION") == Answer(
        0, {"cniVersion": "1.1.0", "supportedVersions": list(SPEC_VERSIONS)}
    )


def test_run_by_hand_it_says_what_it_is_and_does_not_wait_for_stdin(
    capfd: pytest.CaptureFixture[str],
) -> None:
    answer = ask(plugin(), {}, Endless())  # type: ignore[arg-type]  # a RawIOBase will do
    assert answer == Answer(0, None)
    said = capfd.readouterr().err
    assert said == (
        "CNI test plugin, for tests\n"
        "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n"
    )


@pytest.mark.parametrize(
    "environ",
    [
        {"CNI_COMMAND": ""},
        {"CNI_COMMAND": "GET"},
        {"CNI_COMMAND": "ADD"},
        environment("ADD", "x", CNI_IFNAME="a/b"),
    ],
)
def test_a_bad_environment_is_told_without_waiting_for_stdin(environ: dict[str, str]) -> None:
    error = ask(plugin(), environ, Endless()).error  # type: ignore[arg-type]  # a RawIOBase will do
    assert error["code"] == INVALID_ENVIRONMENT


# ---- stdin --------------------------------------------------------------------------------------


class BrokenInput(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise OSError(errno.EISDIR, "Is a directory")


def test_a_stdin_that_cannot_be_read() -> None:
    error = ask(plugin(), environment("DEL"), BrokenInput()).error
    assert (error["code"], error["msg"]) == (
        IO_FAILURE,
        "test: stdin cannot be read: Is a directory",
    )


class Zeros(io.BytesIO):
    """As /dev/zero, of which one cannot read all."""

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size > 0
        return bytes(size)


def test_a_stdin_without_end_is_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonvalue, "MAX_DOCUMENT", 100_000)
    error = ask(plugin(), environment("DEL"), Zeros()).error
    assert error["code"] == DECODE_FAILURE
    assert "has more than 100000 bytes" in error["msg"]


# ---- an ADD whose answer is not heard -----------------------------------------------------------


class Attached:
    """A plugin that keeps what is attached, and how it was called."""

    def __init__(self, result: Result = SINGLE_STACK, del_error: Exception | None = None) -> None:
        self.state: set[str] = set()
        self.calls: list[tuple[str, str, str]] = []
        self.result = result
        self.del_error = del_error
        self.plugin = plugin(self.add, self.delete)

    def add(self, call: Call) -> Result:
        self._note(call)
        self.state.add(call.owner)
        return self.result

    def delete(self, call: Call) -> None:
        self._note(call)
        if self.del_error is not None:
            raise self.del_error
        self.state.discard(call.owner)

    def _note(self, call: Call) -> None:
        self.calls.append((call.command, call.environ["CNI_COMMAND"], call.owner))


TAKEN_BACK = [("ADD", "ADD", "net/c1/eth0"), ("DEL", "DEL", "net/c1/eth0")]


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_result_that_cannot_be_told_is_taken_back(version: str, namespace: Namespace) -> None:
    attached = Attached(LAYER2)
    error = ask(attached.plugin, environment("ADD", namespace), config(version)).error
    assert error["code"] == INCOMPATIBLE_VERSION
    assert error["cniVersion"] == version
    assert error["msg"].startswith('test on network "net": a result without addresses')
    assert "details" not in error
    assert attached.state == set()
    assert attached.calls == TAKEN_BACK


@pytest.mark.parametrize("problem", [OSError("busy"), CniError(SYSTEM, "busy"), KeyError("busy")])
def test_what_cannot_be_taken_back_is_told(problem: Exception, namespace: Namespace) -> None:
    attached = Attached(LAYER2, problem)
    error = ask(attached.plugin, environment("ADD", namespace), config("0.2.0")).error
    assert error["code"] == INCOMPATIBLE_VERSION
    assert error["details"].startswith("while undoing: ")
    assert "busy" in error["details"]


class BrokenOutput(io.BytesIO):
    def write(self, data: object) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


class BrokenFlush(io.BytesIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


class Clogged(io.BytesIO):
    """What a raw file that would block gives."""

    def write(self, data: object) -> int:
        return 0


@pytest.mark.parametrize("output", [BrokenOutput, BrokenFlush, Clogged])
def test_an_add_that_nobody_hears_is_taken_back(
    output: type[io.BytesIO], namespace: Namespace, capfd: pytest.CaptureFixture[str]
) -> None:
    attached = Attached()
    given = io.BytesIO(config())
    served = bundle(attached.plugin)
    assert serve("test", served, environment("ADD", namespace), given, output()) == 1
    assert attached.state == set()
    assert attached.calls == TAKEN_BACK
    assert "test: ADD: stdout cannot be written: " in capfd.readouterr().err


@pytest.mark.parametrize("command", ["VERSION", "DEL", "STATUS", ""])
def test_an_answer_that_nobody_hears_is_a_failure(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    served = failing(lambda: CniError(NOT_AVAILABLE, "no."))
    given = io.BytesIO(config())
    assert serve("test", bundle(served), environment(command), given, BrokenOutput()) == 1
    assert "stdout cannot be written: Broken pipe" in capfd.readouterr().err


class Drop(io.BytesIO):
    """A raw file that takes a few bytes at a time."""

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]  # narrower is enough
        return super().write(bytes(data[:7]))


def test_a_stdout_that_takes_little_at_a_time_gets_all(namespace: Namespace) -> None:
    stdout = Drop()
    given = io.BytesIO(config())
    assert serve("test", bundle(plugin()), environment("ADD", namespace), given, stdout) == 0
    assert judged(0, stdout.getvalue(), "ADD").document == wire.encode(SINGLE_STACK, "1.1.0")


@pytest.mark.parametrize(
    "make", [lambda: CniError(SYSTEM, "no."), lambda: OSError("no"), lambda: KeyError("x")]
)
def test_an_add_that_fails_undoes_itself(
    make: Callable[[], Exception], namespace: Namespace
) -> None:
    """And so an ADD refused because the attachment exists does not take it away."""

    def delete(_: Call) -> None:
        raise AssertionError("DEL was called")

    error = ask(plugin(raising(make), delete), environment("ADD", namespace), config()).error
    assert "details" not in error


def test_an_add_that_a_signal_ends_is_taken_back(namespace: Namespace) -> None:
    """Wherever it strikes: the verb's own undo stack may have been closed a moment before."""
    attached = Attached()

    def add(call: Call) -> Result:
        attached.add(call)
        raise Terminated("SIGTERM")

    served = plugin(add, attached.delete)
    error = ask(served, environment("ADD", namespace), config()).error
    assert error["code"] == TRY_AGAIN_LATER
    assert error["msg"] == "test: ADD was ended by SIGTERM; what it had done is undone"
    assert attached.state == set()


# ---- around it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "code", "words"),
    [
        (ImportError("no module"), INTERNAL, "ImportError: no module"),
        (OSError(errno.EMFILE, "Too many open files"), SYSTEM, "Too many open files"),
    ],
)
def test_a_plugin_that_cannot_be_loaded(problem: Exception, code: int, words: str) -> None:
    def load() -> Plugin:
        raise problem

    stdout = io.BytesIO()
    given = io.BytesIO(config())
    status = serve("test", Bundle({"test": load}, "x"), environment("DEL"), given, stdout)
    error = judged(status, stdout.getvalue(), "DEL").error
    assert error["code"] == code
    assert words in error["msg"]


class DeafError(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("make", [DeafError, closed, lambda: None])
@pytest.mark.parametrize("command", ["", "DEL"])
def test_that_nobody_reads_stderr_changes_nothing(
    command: str, make: Callable[[], io.StringIO | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", make())
    error = ask(failing(lambda: KeyError("x")), environment(command), config()).error
    assert error["code"] == (INTERNAL if command else INVALID_ENVIRONMENT)


def test_where_no_traceback_can_be_made_the_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with no descriptor left to import `traceback`, or no memory."""
    monkeypatch.setitem(sys.modules, "traceback", None)
    error = ask(failing(lambda: KeyError("x")), environment("DEL"), config()).error
    assert error["code"] == INTERNAL
