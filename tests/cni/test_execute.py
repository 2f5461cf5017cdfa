from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.errors import (
    DELEGATE_FAILED,
    INVALID_CONFIG,
    INVALID_ENVIRONMENT,
    TRY_AGAIN_LATER,
    CniError,
)
from cni.execute import Outcome, answer, find, run
from tests.cni.scripts import script

HOURS = "600"


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def _inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:  # the one that listed the directory
        return False


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    before = len(descriptors())
    yield
    assert len(descriptors()) == before


# ---- find ---------------------------------------------------------------------------------------


def test_the_first_directory_that_has_it_wins(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    script(tmp_path / "two/plug", "")
    script(tmp_path / "three/plug", "")
    path = [str(tmp_path / name) for name in ("missing", "one", "two", "three")]
    assert find("plug", path) == f"{tmp_path}/two/plug"


def test_what_cannot_be_executed_is_passed_over(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    (tmp_path / "one/plug").write_text("no mode")
    (tmp_path / "two/plug").mkdir()
    wanted = script(tmp_path / "three/plug", "")
    assert find("plug", [f"{tmp_path}/{name}" for name in ("one", "two", "three")]) == wanted


@pytest.mark.parametrize(
    ("directories", "words"), [([], "(empty)"), (["/nowhere", "/nothing"], "/nowhere:/nothing")]
)
def test_a_missing_plugin_is_named_with_the_path(directories: list[str], words: str) -> None:
    with pytest.raises(CniError) as raised:
        find("plug", directories)
    assert raised.value.code == INVALID_ENVIRONMENT
    assert raised.value.msg.startswith(f'failed to find plugin "plug" in path [{words}]')


def test_a_plugin_that_nobody_may_execute(tmp_path: Path) -> None:
    path = tmp_path / "plug"
    path.write_text("no mode")
    with pytest.raises(CniError) as raised:
        find("plug", ["/nowhere", str(tmp_path)])
    assert raised.value.code == INVALID_ENVIRONMENT
    assert raised.value.msg.endswith(f": {path} is there, and is not executable: chmod 755 {path}")


@pytest.mark.parametrize("name", ["", "../plug", "a/b", "/bin/sh", ".", "..", "a b", "\ud800"])
def test_a_type_that_is_no_file_name(name: str) -> None:
    with pytest.raises(CniError) as raised:
        find(name, ["/bin"])
    assert raised.value.code == INVALID_CONFIG
    raised.value.msg.encode()


# ---- run ----------------------------------------------------------------------------------------


def test_a_process_gets_exactly_this_environment_and_stdin(tmp_path: Path) -> None:
    path = script(
        tmp_path / "plug",
        "import os, sys\nprint(sys.argv, sorted(os.environb.items()), sys.stdin.buffer.read())",
        f"{sys.executable} -IS",
    )
    environ = {"CNI_COMMAND": "ADD", "EMPTY": "", "LC_ALL": "C.UTF-8", "BYTES": "a\udcff"}
    stdin = b'{"name": "\xff"}\n'
    outcome = run(path, environ, stdin)
    assert outcome.status == 0, outcome.stderr
    expected = sorted((os.fsencode(name), os.fsencode(value)) for name, value in environ.items())
    assert outcome.stdout.decode() == f"{[path]} {expected} {stdin!r}\n"
    assert outcome.stderr == b""


def test_both_outputs_and_the_status_come_back(tmp_path: Path) -> None:
    path = script(tmp_path / "plug", "echo out; echo err >&2; exit 7")
    assert run(path, {}, b"") == Outcome(7, b"out\n", b"err\n")


def test_the_signal_that_ended_it_is_the_status(tmp_path: Path) -> None:
    path = script(tmp_path / "plug", "echo before; kill -9 $$")
    assert run(path, {}, b"") == Outcome(-9, b"before\n", b"")


@pytest.mark.parametrize("size", [0, 1, 65536, 3_000_000])
def test_much_goes_both_ways_at_once(tmp_path: Path, size: int) -> None:
    path = script(tmp_path / "plug", "exec tee /dev/stderr")
    stdin = os.urandom(size)
    assert run(path, dict(os.environ), stdin) == Outcome(0, stdin, stdin)


def test_output_before_input_is_read_is_no_deadlock(tmp_path: Path) -> None:
    path = script(tmp_path / "plug", "head -c 3000000 /dev/zero; cat >/dev/null; echo end >&2")
    outcome = run(path, dict(os.environ), b"x" * 3_000_000)
    assert (outcome.status, len(outcome.stdout), outcome.stderr) == (0, 3_000_000, b"end\n")


@pytest.mark.parametrize("body", ["exit 0", "exec <&-; echo done"])
def test_a_plugin_may_ignore_its_stdin(tmp_path: Path, body: str) -> None:
    assert run(script(tmp_path / "plug", body), {}, b"x" * 1_000_000).status == 0


def test_sigpipe_is_what_a_program_expects_it_to_be(tmp_path: Path) -> None:
    """Python ignores it, and a child would inherit that."""
    path = script(tmp_path / "plug", "grep SigIgn /proc/self/status")
    assert int(run(path, dict(os.environ), b"").stdout.split()[1], 16) & 1 << 12 == 0


def test_no_descriptor_of_ours_reaches_it(tmp_path: Path) -> None:
    body = 'import os\nprint(*os.listdir("/proc/self/fd"))'
    path = script(tmp_path / "plug", body, f"{sys.executable} -IS")
    meant_for_it = {fd for fd in descriptors() if _inheritable(int(fd))}
    seen = set(run(path, {}, b"").stdout.decode().split())
    assert seen - meant_for_it <= {"0", "1", "2", "3"}  # the last one reads the list


def test_its_end_counts_and_not_that_of_its_heirs(tmp_path: Path) -> None:
    """A daemon that it leaves behind holds the outputs open."""
    path = script(tmp_path / "plug", f"(exec sleep {HOURS}) & echo $! >pid; echo out; echo err >&2")
    environ = dict(os.environ)
    home = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert run(path, environ, b"") == Outcome(0, b"out\n", b"err\n")
    finally:
        os.chdir(home)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_it_may_close_its_outputs_and_stay_a_while(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    path = script(tmp_path / "plug", f'exec >&- 2>&-; read line <"{tmp_path}/go"; exit 3')
    waker = threading.Thread(target=(tmp_path / "go").write_text, args=("on\n",))
    waker.start()
    assert run(path, {}, b"") == Outcome(3, b"", b"")
    waker.join()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("#!/no/such/interpreter\n", "No such file or directory"),
        ("no format at all", "Exec format error"),
    ],
)
def test_what_cannot_be_started_is_said(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "plug"
    path.write_text(content)
    path.chmod(0o755)
    with pytest.raises(CniError) as raised:
        run(str(path), {}, b"")
    assert raised.value.code == DELEGATE_FAILED
    assert raised.value.msg == f"plugin {path} cannot be started: {words}"


def test_what_is_being_written_is_to_be_called_again(tmp_path: Path) -> None:
    """As where a DaemonSet copies plugins over those that are there, in place."""
    path = tmp_path / "plug"
    shutil.copy("/bin/true", path)
    with path.open("ab"):
        with pytest.raises(CniError, match="is being written: repeat the call") as raised:
            run(str(path), {}, b"")
        assert raised.value.code == TRY_AGAIN_LATER
    assert run(str(path), {}, b"").status == 0


def test_an_environment_that_cannot_be_passed_on_is_said(tmp_path: Path) -> None:
    path = script(tmp_path / "plug", "")
    with pytest.raises(CniError, match="cannot be started: illegal environment variable name"):
        run(path, {"": "x"}, b"")


@pytest.mark.parametrize("left", range(7))
def test_out_of_descriptors_nothing_is_left_open(
    tmp_path: Path, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pipe and the process's own descriptor in turn cannot be had."""
    path = script(tmp_path / "plug", "")
    calls = iter(range(100))

    def few(name: str) -> None:
        real = getattr(os, name)

        def opening(*args: int) -> object:
            if next(calls) >= left:
                raise OSError(24, "Too many open files")
            return real(*args)

        monkeypatch.setattr(os, name, opening)

    few("pipe2")
    few("pidfd_open")
    if left > 3:
        assert run(path, {}, b"").status == 0
        return
    with pytest.raises(CniError, match="Too many open files"):
        run(path, {}, b"")


# ---- time-outs, cancelling, signals -------------------------------------------------------------

# Tells its process id and that of a child through the FIFO, and stays.
STAYING = f"""
sleep {HOURS} & child=$!
echo $$ $child >"$FIFO"
wait
"""


@pytest.fixture
def staying(tmp_path: Path) -> tuple[str, dict[str, str]]:
    os.mkfifo(tmp_path / "fifo")
    path = script(tmp_path / "plug", STAYING)
    return path, {**os.environ, "FIFO": str(tmp_path / "fifo")}


class Watch:
    """Reads the process ids that a staying plugin tells, and then does something."""

    def __init__(self, fifo: str, then: int | None = None) -> None:
        self.pidfds: list[int] = []
        self._fifo = fifo
        self._then = then
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with open(self._fifo) as pipe:
            self.pidfds = [os.pidfd_open(int(pid)) for pid in pipe.read().split()]
        if self._then is not None:
            os.write(self._then, b"x")

    def ended(self, *, within: float) -> list[bool]:
        """Whether the plugin and its child have ended, or do so in that many seconds."""
        self._thread.join()
        return [bool(select.select([pidfd], [], [], within)[0]) for pidfd in self.pidfds]

    def close(self) -> None:
        for pidfd in self.pidfds:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(pidfd)


@pytest.mark.parametrize("own_group", [True, False])
def test_a_timeout_kills_it_and_in_a_group_all_it_started(
    staying: tuple[str, dict[str, str]], own_group: bool
) -> None:
    path, environ = staying
    watch = Watch(environ["FIFO"])
    started = time.monotonic()
    with pytest.raises(CniError) as raised:
        run(path, environ, b"", timeout=0.2, own_group=own_group)
    assert time.monotonic() - started < 10
    assert raised.value.code == TRY_AGAIN_LATER
    assert raised.value.msg == f"plugin {path} did not end within 0.2 s; killed"
    assert watch.ended(within=10 if own_group else 0) == [True, own_group]
    watch.close()


@pytest.mark.parametrize(
    "body", ["exec >&- 2>&- <&-", "cat >/dev/null", "trap '' TERM INT; cat >/dev/null"]
)
def test_the_time_counts_whatever_it_does_with_its_streams(tmp_path: Path, body: str) -> None:
    path = script(tmp_path / "plug", f"{body}\nexec sleep {HOURS}")
    with pytest.raises(CniError, match=r"did not end within 0\.1 s"):
        run(path, dict(os.environ), b"", timeout=0.1)


def test_it_can_be_cancelled(staying: tuple[str, dict[str, str]]) -> None:
    path, environ = staying
    reading, writing = os.pipe()
    watch = Watch(environ["FIFO"], then=writing)
    with pytest.raises(CniError) as raised:
        run(path, environ, b"", own_group=True, cancel=reading)
    assert raised.value.code == TRY_AGAIN_LATER
    assert raised.value.msg == f"plugin {path} was cancelled; killed"
    assert watch.ended(within=10) == [True, True]
    watch.close()
    os.close(reading)
    os.close(writing)


def test_what_is_cancelled_after_its_end_has_ended(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    path = script(tmp_path / "plug", "echo out")
    assert run(path, {}, b"", cancel=reading).stdout == b"out\n"
    os.close(reading)
    os.close(writing)


class InterruptError(Exception):
    pass


def test_a_signal_that_raises_leaves_no_process(staying: tuple[str, dict[str, str]]) -> None:
    def handler(number: int, frame: object) -> None:
        raise InterruptError

    path, environ = staying
    reading, writing = os.pipe()
    watch = Watch(environ["FIFO"], then=writing)

    def send() -> None:
        os.read(reading, 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    sender = threading.Thread(target=send)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        sender.start()
        with pytest.raises(InterruptError):
            run(path, environ, b"", own_group=True)
    finally:
        signal.signal(signal.SIGUSR1, before)
    sender.join()
    assert watch.ended(within=10) == [True, True]
    watch.close()
    os.close(reading)
    os.close(writing)


def test_a_signal_during_the_start_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler raises when posix_spawn returns, before its answer could be kept."""

    def handler(number: int, frame: object) -> None:
        raise InterruptError

    started: list[int] = []
    real = os.posix_spawn

    def spawn(*args: object, **kwargs: object) -> int:
        pid = real(*args, **kwargs)  # type: ignore[arg-type]  # handed on as it came
        started.append(os.pidfd_open(pid))
        signal.raise_signal(signal.SIGUSR1)  # to this thread
        return pid

    monkeypatch.setattr(os, "posix_spawn", spawn)
    before = signal.signal(signal.SIGUSR1, handler)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        with pytest.raises(InterruptError):
            run(script(tmp_path / "plug", f"exec sleep {HOURS}"), dict(os.environ), b"")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    with pytest.raises(ProcessLookupError):
        signal.pidfd_send_signal(started[0], 0)
    os.close(started[0])


def test_the_signals_we_hold_back_are_not_held_back_there(tmp_path: Path) -> None:
    body = "import signal\nprint(*map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    path = script(tmp_path / "plug", body, f"{sys.executable} -IS")  # a shell unblocks them
    assert run(path, {}, b"").stdout == b"\n"


# ---- what it means ------------------------------------------------------------------------------


def test_success_is_the_output_whatever_it_is() -> None:
    assert answer(Outcome(0, b"garbage", b"noise"), "plug") == b"garbage"


@pytest.mark.parametrize(
    ("outcome", "code", "msg", "details"),
    [
        (Outcome(1, b'{"code":7,"msg":"no","details":"why"}', b""), 7, "no", "why"),
        (Outcome(3, b' {"cniVersion":"1.0.0","Code":11,"Msg":"no"}\n', b"noise"), 11, "no", ""),
        (Outcome(1, b'{"code":0,"msg":"no"}', b""), DELEGATE_FAILED, "no", ""),
        (
            Outcome(1, b'{"code":50,"msg":""}', b""),
            50,
            "plugin plug gave no reason: exit status 1",
            "",
        ),
        (Outcome(1, b'{"code":50}', b"x"), 50, "plugin plug gave no reason: exit status 1", ""),
        (Outcome(-9, b'{"code":50}', b""), 50, "plugin plug gave no reason: signal 9", ""),
        (
            Outcome(2, b"", b""),
            DELEGATE_FAILED,
            "plugin plug failed with no error message: exit status 2",
            "",
        ),
        (
            Outcome(-15, b"", b" \n"),
            DELEGATE_FAILED,
            "plugin plug failed with no error message: signal 15",
            "",
        ),
        (
            Outcome(2, b"", b"panic: \xff\n"),
            DELEGATE_FAILED,
            'plugin plug failed: "panic: \ufffd": exit status 2',
            "",
        ),
        (
            Outcome(2, b"no JSON", b""),
            DELEGATE_FAILED,
            'plugin plug failed: "no JSON": exit status 2',
            "",
        ),
        (
            Outcome(2, b'{"msg":"no code"}', b""),
            DELEGATE_FAILED,
            'plugin plug failed: "{"msg":"no code"}": exit status 2',
            "",
        ),
        (
            Outcome(1, b'{"code":"7","msg":"no"}', b"said"),
            DELEGATE_FAILED,
            'plugin plug failed: "said": exit status 1',
            "",
        ),
    ],
)
def test_a_failure_is_what_the_plugin_says_or_how_it_ended(
    outcome: Outcome, code: int, msg: str, details: str
) -> None:
    with pytest.raises(CniError) as raised:
        answer(outcome, "plug")
    assert (raised.value.code, raised.value.msg, raised.value.details) == (code, msg, details)


def test_a_long_complaint_is_cut_at_its_beginning() -> None:
    with pytest.raises(CniError) as raised:
        answer(Outcome(1, b"", b"x" * 1_000_000 + b"the end"), "plug")
    assert 'the end": exit status 1' in raised.value.msg
    assert len(raised.value.msg) < 2100
    json.dumps(raised.value.msg)
