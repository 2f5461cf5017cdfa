"""SIGKILL for a daemon's worker at each of its system calls: the caller hears, and DEL cleans."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.errors import TRY_AGAIN_LATER
from tests.cnid.daemon import compile_launcher, compile_stand_in
from tests.kit.syscalls import Supervisor
from tests.reliability.kill import matrix
from tests.reliability.kill.warm import Warm
from tests.reliability.kill.world import World

NAMES = ("bridge, nftables", "portmap, nftables", "vxlan, l3")
SAMPLED = NAMES[:1]
SAMPLE = 2


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("compiled")
    return compile_launcher(directory / "launcher"), compile_stand_in(directory / "stand-in")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("name", NAMES)
def test_a_killed_worker_is_told_and_cleaned(
    name: str,
    verb: str,
    *,
    world: Callable[[str], World],
    supervisor: Supervisor,
    compiled: tuple[Path, Path],
    tmp_path: Path,
    whole: bool,
    most: int | None,
    record: Callable[[str, list[object]], None],
) -> None:
    if not whole and name not in SAMPLED:
        pytest.skip("the sample has others")
    on = world(name)
    left: list[str] = []
    told = dirty = 0
    before = on.before
    with Warm(supervisor, tmp_path / "warm", *compiled) as warm:

        def call(at: int) -> tuple[int, int]:
            answer = warm.call(
                verb, on.config(on.last, **on.previous()), on.environ(verb, str(on.container)), at
            )
            # Killed between its answer and the word of its end, it has told both.
            code = 0 if answer.status == 0 else json.loads(answer.stdout.splitlines()[-1])["code"]
            if code == 0 and verb == "ADD":
                on.added(answer.stdout)
                on.check()
            return code, dirty + (on.left(before) != [])

        matrix.reach(on, verb)
        assert call(0)[0] == 0
        on.delete()
        warm.cold_runs()
        matrix.reach(on, verb)
        assert call(0)[0] == 0
        assert warm.cold_runs() == [], "the daemon has not served it"
        on.delete()
        names = warm.calls
        chosen = matrix.sample(len(names), most)
        for at in chosen:
            matrix.reach(on, verb)
            before = on.state() if verb == "ADD" else on.before
            code, dirty = call(at)
            if warm.struck and code not in (0, TRY_AGAIN_LATER):
                left.append(f"{verb} killed at {at} ({names[at - 1]}): error {code}")
            told += code == TRY_AGAIN_LATER
            on.delete()
            if found := on.left():
                left.append(f"{verb} killed at {at} ({names[at - 1]}): {found}")
                matrix.reset(on)
    record("warm", [name, verb, len(names), len(chosen), told, dirty, len(left)])
    assert not left, "\n".join(left)
    assert told
