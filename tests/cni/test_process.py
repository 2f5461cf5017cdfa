"""The door as a process: signals, poverty, and streams that are not what they should be."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cni.errors import (
    DECODE_FAILURE,
    INVALID_ENVIRONMENT,
    TRY_AGAIN_LATER,
)
from tests.cni.calls import config, environment
from tests.cni.door import Answer, judged
from tests.kit.namespace import Namespace

CHILD = Path(__file__).with_name("child.py")
SOURCES = Path(__file__).parents[2]
SECONDS = 20


class Child:
    """A call of the child plugin, and the way to talk to it."""

    def __init__(self, directory: Path, namespace: Namespace) -> None:
        self.directory = directory
        self.namespace = namespace
        os.mkfifo(directory / "to-test")
        os.mkfifo(directory / "to-child")
        self.process: subprocess.Popen[bytes] | None = None
        self.command = ""

    def start(self, command: str, do: str = "attach", **how: Any) -> subprocess.Popen[bytes]:
        self.command = command
        stdin = how.pop("config", config(do=do, dir=str(self.directory)))
        environ = how.pop("environ", environment(command, self.namespace))
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", CHILD, SOURCES], env=environ, **{**streams, **how}
        )
        if self.process.stdin is not None and stdin:
            try:
                self.process.stdin.write(stdin)
                self.process.stdin.close()
            except BrokenPipeError:  # it has ended without reading, which is its right
                pass
        return self.process

    def hear(self) -> str:
        """What it says next."""
        return (self.directory / "to-test").read_text()

    def tell(self) -> None:
        """Let it go on."""
        (self.directory / "to-child").write_text("on")

    def answer(self) -> Answer:
        """Wait for the end of it."""
        assert self.process is not None
        assert self.process.stdout is not None
        stdout = self.process.stdout.read()
        return judged(self.process.wait(SECONDS), stdout, self.command)

    def stderr(self) -> str:
        assert self.process is not None
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def attached(self) -> bool:
        return (self.directory / "state").exists()


@pytest.fixture
def child(tmp_path: Path, namespace: Namespace) -> Iterator[Child]:
    made = Child(tmp_path, namespace)
    yield made
    if made.process is not None:
        with made.process as process:
            process.kill()


# ---- signals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_verb_ends_it_undone(
    number: signal.Signals, child: Child
) -> None:
    process = child.start("ADD", "wait")
    assert child.hear() == "attached"
    process.send_signal(number)
    assert child.hear() == "undoing"
    assert child.attached()
    child.tell()
    error = child.answer().error
    assert error["code"] == TRY_AGAIN_LATER
    assert error["msg"] == f"child: ADD was ended by {number.name}; what it had done is undone"
    assert not child.attached()
    assert child.stderr() == ""


def test_a_second_signal_does_not_cut_the_undoing_short(child: Child) -> None:
    process = child.start("ADD", "wait")
    assert child.hear() == "attached"
    process.send_signal(signal.SIGTERM)
    assert child.hear() == "undoing"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    child.tell()
    error = child.answer().error
    assert error["code"] == TRY_AGAIN_LATER
    assert "SIGTERM" in error["msg"]
    assert not child.attached()


def test_a_signal_between_the_end_of_the_verb_and_the_answer(child: Child) -> None:
    child.start("ADD", "trap")
    error = child.answer().error
    assert error["code"] == TRY_AGAIN_LATER
    assert error["msg"].endswith("what it had done is undone")
    assert not child.attached()


def test_a_signal_in_the_middle_of_an_import(child: Child) -> None:
    child.start("ADD", "import")
    assert child.answer().error["code"] == TRY_AGAIN_LATER


def _wait_until_full(process: subprocess.Popen[bytes]) -> None:
    """Until a process that writes more than its stdout holds has filled it."""
    assert process.stdout is not None
    size = fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ)
    deadline = time.monotonic() + SECONDS
    while struct.unpack("i", fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4)))[0] < size:
        assert time.monotonic() < deadline
        os.sched_yield()


def test_a_signal_while_the_answer_is_written_comes_too_late(child: Child) -> None:
    process = child.start("ADD", "large")
    _wait_until_full(process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    answer = child.answer()
    assert answer.status == 0
    assert len(answer.document["dns"]["search"][0]) == 300_000
    assert child.attached()


@pytest.mark.parametrize(
    ("command", "more", "status"),
    [("ADD", {}, 0), ("DEL", {}, 0), ("VERSION", {}, 0), ("DEL", {"CNI_IFNAME": "a/b"}, 1)],
)
def test_a_signal_after_the_answer_changes_nothing(
    command: str, more: dict[str, str], status: int, child: Child
) -> None:
    environ = environment(command, child.namespace, LATE_SIGNAL="1", **more)
    child.start(command, environ=environ)
    assert child.answer().status == status
    assert child.stderr() == ""


def test_a_signal_ends_the_delegate_too(child: Child) -> None:
    """Killed in the middle of its ADD, it is then asked to DEL."""
    delegate = child.directory / "delegate"
    delegate.write_text(
        "#!/bin/sh\n"
        'if [ "$CNI_COMMAND" = DEL ]; then echo >deleted; exit 0; fi\n'
        "echo $$ >to-test\n"
        "read nothing <to-child\n"
    )
    delegate.chmod(0o755)
    environ = environment("ADD", child.namespace, CNI_PATH=str(child.directory))
    process = child.start("ADD", "delegate", environ=environ, cwd=child.directory)
    delegated = os.pidfd_open(int(child.hear()))
    process.send_signal(signal.SIGTERM)
    assert child.answer().error["code"] == TRY_AGAIN_LATER
    assert (child.directory / "deleted").exists()
    with pytest.raises(ProcessLookupError):
        signal.pidfd_send_signal(delegated, 0)
    os.close(delegated)


# ---- poverty ------------------------------------------------------------------------------------


def limited(which: int, value: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(which, (value, value))


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "VERSION"])
def test_eight_descriptors_are_enough(command: str, child: Child) -> None:
    child.start(command, preexec_fn=limited(resource.RLIMIT_NOFILE, 8))
    assert child.answer().status == 0
    assert child.stderr() == ""


def test_too_few_descriptors_for_a_delegate_are_an_error_and_no_leak(child: Child) -> None:
    delegate = child.directory / "delegate"
    delegate.write_text("#!/bin/sh\n")
    delegate.chmod(0o755)
    environ = environment("ADD", child.namespace, CNI_PATH=str(child.directory))
    few = limited(resource.RLIMIT_NOFILE, 8)
    child.start("ADD", "delegate", environ=environ, preexec_fn=few)
    error = child.answer().error
    assert "cannot be started: Too many open files" in error["msg"]


@pytest.mark.parametrize("command", ["ADD", "VERSION"])
def test_a_stdout_that_takes_nothing(command: str, child: Child) -> None:
    with open("/dev/full", "wb") as full:
        process = child.start(command, stdout=full)
    assert process.wait(SECONDS) == 1
    assert "stdout cannot be written: No space left on device" in child.stderr()
    assert not child.attached()


def test_a_stdout_whose_reader_is_gone(child: Child) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = child.start("ADD", stdout=writing)
    os.close(writing)
    assert process.wait(SECONDS) == 1
    assert not child.attached()


def test_a_closed_stdout_is_noticed_before_anything_is_done(child: Child) -> None:
    process = child.start("ADD", "wait", stdout=None, preexec_fn=lambda: os.close(1))
    assert process.wait(SECONDS) == 1
    assert "stdout is not open" in child.stderr()
    assert not child.attached()


def test_a_closed_stdin_is_an_empty_one(child: Child) -> None:
    child.start("ADD", stdin=None, preexec_fn=lambda: os.close(0))
    error = child.answer().error
    assert error["code"] == DECODE_FAILURE
    assert "the network config on stdin is empty" in error["msg"]


def test_a_closed_stderr_changes_nothing(child: Child) -> None:
    child.start("", config=b"", stderr=None, preexec_fn=lambda: os.close(2))
    assert child.answer().error["code"] == INVALID_ENVIRONMENT


def test_run_by_hand_it_ends_while_stdin_is_open(child: Child) -> None:
    process = child.start("", environ={}, config=b"")
    assert process.wait(SECONDS) == 0
    assert child.answer().document is None
    said = child.stderr()
    assert said.startswith("CNI child plugin\nCNI protocol versions supported: 0.1.0, ")
    assert "Traceback" not in said


# ---- start-up -----------------------------------------------------------------------------------

LOADED = """
import os, sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
from cni.bundle import Bundle
from cni.skel import Plugin, main
nothing = lambda call: None
plugin = Plugin("none", "", nothing, nothing, nothing)
status = main("none", Bundle({"none": lambda: plugin}, ""))
print(*sorted(set(sys.modules) - before), file=sys.stderr)
sys.exit(status)
"""


def loaded(command: str) -> set[str]:
    """What a call of a plugin that does nothing imports."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOADED, SOURCES],
        env=environment(command),
        input=config(),
        capture_output=True,
        check=True,
    )
    judged(0, done.stdout, command)
    return set(done.stderr.decode().split())


VERSION_NEEDS = {
    "__future__", "_json", "cni", "cni.bundle", "cni.errors", "cni.jsontext", "cni.record",
    "cni.skel", "cni.stderr", "cni.versions", "errno",
}  # fmt: skip


def test_version_loads_next_to_nothing() -> None:
    assert loaded("VERSION") <= VERSION_NEEDS


@pytest.mark.parametrize("command", ["DEL", "STATUS"])
def test_a_verb_that_reads_no_address_loads_no_ipaddress(command: str) -> None:
    assert loaded(command) <= VERSION_NEEDS | {
        "cni.call", "cni.jsonvalue", "cni.names", "cni.result", "cni.wire",
    }  # fmt: skip
