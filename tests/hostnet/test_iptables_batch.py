"""Many edits of iptables' rules at once, planned on what the ones before leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostnet.iptables import Tool, edit
from hostnet.iptables_batch import Batch, is_first, once
from tests.kit.host import Host
from tests.kit.iptables import VARIANTS, HostTables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.iptables import Changes, Ruleset


@pytest.fixture(params=VARIANTS)
def tables(
    request: pytest.FixtureRequest, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> HostTables:
    host.share("nft *", "iptables *")
    made = HostTables(host, tmp_path, request.param)
    made.install(monkeypatch)
    return made


COMMANDS = (
    [":CNI-A - [0:0]", "-A CNI-A -s 10.0.0.1/32 -j ACCEPT", "-A FORWARD -j CNI-A"],
    ["-I CNI-A -s 10.0.0.2/32 -j ACCEPT", "-I CNI-A 1 -s 10.0.0.3/32 -j ACCEPT"],
    ["-D CNI-A -s 10.0.0.1/32 -j ACCEPT", ":CNI-B - [0:0]", "-A CNI-B -j RETURN"],
    ["-F CNI-B", "-X CNI-B"],
)


def test_what_is_simulated_is_what_comes(tables: HostTables) -> None:
    seen: list[Ruleset] = []

    def plan(commands: list[str]) -> object:
        def planned(_: Tool, found: Ruleset) -> Changes:
            seen.append({"filter": {name: [*of] for name, of in found["filter"].items()}})
            return {"filter": commands}

        return planned

    with Batch() as batch:
        for commands in COMMANDS:
            assert edit([Tool(4)], plan(commands), "filter")  # type: ignore[arg-type]
        last = Tool(4).save("filter")["filter"]
        assert not tables.of_cni()
        assert batch.commit()
    found = Tool(4).save("filter")["filter"]
    assert found["CNI-A"] == last["CNI-A"]
    assert found["FORWARD"] == last["FORWARD"]
    assert "CNI-B" not in found
    assert seen[1]["filter"]["CNI-A"] == ["-", "-s 10.0.0.1/32 -j ACCEPT"]


def test_nothing_is_carried_out_when_somebody_was_faster(tables: HostTables) -> None:
    done: list[str] = []
    with Batch() as batch:
        edit([Tool(4)], lambda *_: {"filter": COMMANDS[0]}, "filter")
        batch.owners.add("net/c1/eth0", bool, lambda: done.append("taken back"))
        tables.run("-A", "FORWARD", "-s", "198.51.100.1/32", "-j", "ACCEPT")
        assert not batch.commit()
    assert not tables.of_cni()
    assert not done


def test_nothing_is_carried_out_for_who_has_gone(tables: HostTables) -> None:
    done: list[str] = []
    with Batch() as batch:
        edit([Tool(4)], lambda *_: {"filter": COMMANDS[0]}, "filter")
        batch.owners.add("net/c1/eth0", bool, lambda: done.append("c1"))
        batch.owners.add("net/c2/eth0", lambda: True, lambda: done.append("c2"))
        assert not batch.commit()
    assert not tables.of_cni()
    assert done == ["c2"]


def test_looks_are_taken_once() -> None:
    looks: list[int] = []

    def look() -> bool:
        looks.append(1)
        return True

    with Batch():
        assert once("a", look)
        assert once("a", look)
        assert (is_first("b"), is_first("b")) == (True, False)
    assert len(looks) == 1
    assert once("a", look)
    assert (is_first("b"), is_first("b")) == (True, True)
    assert len(looks) == 2
