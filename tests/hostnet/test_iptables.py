"""iptables: its rules read and changed by its programs, and looked for without them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hostnet import iptables, nft, spawn
from hostnet.iptables import IptablesError, Tool, edit, leads_to, option, parse, quote, same, words
from hostnet.iptables_look import LEGACY, NFT, Blob, Here
from hostnet.iptables_whole import PartialChangeError, PartialListError
from hostnet.lock import LockTimeout, NamespaceLock
from hostnet.netfilter import Netfilter
from hostnet.nfchange import ContentionError
from tests.kit.host import Host

if TYPE_CHECKING:
    from hostnet.iptables import Ruleset

KINDS = (NFT, LEGACY)
RULE = '-s 10.1.0.2/32 -m comment --comment "name: \\"net\\" id: \\"c\\\\1\\"" -j CNI-X'


@pytest.fixture(params=[(version, kind) for version in (4, 6) for kind in KINDS], ids=str)
def place(request: pytest.FixtureRequest, host: Host) -> tuple[int, str]:
    host.share("nft * ip *", "nft * ip6 *")
    found: tuple[int, str] = request.param
    return found


def test_words_of_a_rule() -> None:
    assert words(RULE)[-3:] == ['name: "net" id: "c\\1"', "-j", "CNI-X"]
    assert words("-p tcp --dport 80 -j ACCEPT") == ["-p", "tcp", "--dport", "80", "-j", "ACCEPT"]
    assert words('--log-prefix "" -j LOG') == ["--log-prefix", "", "-j", "LOG"]
    for text in ("", "a b", 'say "hi"', "back\\slash", "a", "#x/y"):
        assert words(f"--comment {quote(text)} -j X")[1] == text
    assert option(words(RULE), "-d", "--source", "-s") == "10.1.0.2/32"
    assert option(words(RULE), "-j") == "CNI-X"
    assert option(words(RULE), "--dport") == ""
    assert leads_to(RULE, "CNI-X")
    assert leads_to("-g CNI-X", "CNI-X")
    assert not leads_to(RULE, "X")
    assert same("-s 1.2.3.4/32 -p tcp -j X", "-p tcp -s 1.2.3.4/32 -j X")
    assert not same("-s 1.2.3.4/32 -j X", "-d 1.2.3.4/32 -j X")


def test_what_iptables_save_prints() -> None:
    text = (
        "# a comment\n*filter\n:FORWARD DROP [5:400]\n:X - [0:0]\n-A FORWARD -j X\n-A X\n"
        "COMMIT\n*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"
    )
    assert parse(text) == {
        "filter": {"FORWARD": ["DROP", "-j X"], "X": ["-", ""]},
        "nat": {"POSTROUTING": ["ACCEPT"]},
    }


def test_changed_read_and_found(place: tuple[int, str]) -> None:
    version, kind = place
    tool = Tool(version, kind)
    address = "10.1.0.2/32" if version == 4 else "fd00::2/128"
    rule = f'-s {address} -m comment --comment "say \\"hi\\"" -j CNI-X'
    with Netfilter() as nl:
        assert not Here(nl).any("nat")
        tool.restore({"nat": [":CNI-X - [0:0]", f"-A POSTROUTING {rule}"]})
        assert tool.save("nat")["nat"]["POSTROUTING"] == ["ACCEPT", rule]
        here = Here(nl)
        assert here.any("nat")
        assert not here.any("raw")
        assert here.with_table("nat") == [place]
        assert here.with_chain("nat", "CNI-X") == [place]
        assert here.with_chain("nat", "CNI-") == []
        assert here.with_chain("nat", "POSTROUTING" if kind == NFT else "CNI-Y") == (
            [place] if kind == NFT else []
        )
        tool.restore({"nat": [f"-D POSTROUTING {rule}", "-F CNI-X", "-X CNI-X"]})
        assert Here(nl).with_chain("nat", "CNI-X") == []
    assert Here(None).tables == set()


def test_all_of_a_table_or_none(place: tuple[int, str]) -> None:
    tool = Tool(*place)
    tool.restore({"nat": [":CNI-X - [0:0]"]})
    with pytest.raises(IptablesError, match=r"cannot change the rules of ip6?tables: .* says: "):
        tool.restore({"nat": ["-A CNI-X -j RETURN", "-A CNI-X -j NOWHERE"]})
    assert tool.save("nat")["nat"]["CNI-X"] == ["-"]
    tool.restore({"nat": ["-X CNI-X"]})


@pytest.mark.parametrize("version", [4, 6])
def test_the_chain_forward_of_legacy(version: int, host: Host) -> None:
    tool = Tool(version, LEGACY)
    tool.restore({"filter": ["-P FORWARD ACCEPT"]})
    assert Blob(version, "filter").forward_is_plain
    for there, gone in (
        ("-P FORWARD DROP", "-P FORWARD ACCEPT"),
        ("-A FORWARD -j DROP", "-F FORWARD"),
    ):
        tool.restore({"filter": ["-A INPUT -j ACCEPT", there]})
        assert not Blob(version, "filter").forward_is_plain
        tool.restore({"filter": [gone, "-F INPUT"]})
        assert Blob(version, "filter").forward_is_plain


def test_a_host_without_iptables(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "DIRECTORIES", ("/nowhere",))
    for act in (lambda: Tool(6).save(), Tool(4).require, lambda: Tool(4, NFT).restore({})):
        with pytest.raises(IptablesError, match="is not installed; install iptables"):
            act()


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that wait for a line from a FIFO before they end."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = f"#!/bin/sh\n/bin/cat >{tmp_path}/input\necho $$ >{tmp_path}/pid\nread line <{gate}\n"
    for name in ("iptables-save", "iptables-restore"):
        (tmp_path / name).write_text(script if name.endswith("restore") else "#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(spawn, "DIRECTORIES", (str(tmp_path),))
    return gate


def test_a_program_that_hangs_is_killed(
    slow: Path, tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "LIMIT_SECONDS", 1)
    with pytest.raises(TimeoutError, match=r"did not end within 1 s; killed"):
        Tool(4).restore({"nat": ["-A X"]})
    assert (tmp_path / "input").read_text() == "*nat\n-A X\nCOMMIT\n"
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_keeps_the_lock_of_who_was_killed(slow: Path, tmp_path: Path, host: Host) -> None:
    def body() -> None:
        edit([Tool(4)], lambda _tool, _found: {"nat": ["-A X"]})

    child = os.fork()
    if child == 0:
        body()
        os._exit(0)
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
    os.kill(child, 9)
    os.waitpid(child, 0)
    with pytest.raises(LockTimeout), NamespaceLock(seconds=0.2):
        pass
    taken = threading.Event()

    def wait() -> None:
        with NamespaceLock():
            taken.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    slow.write_text("go on\n")
    assert taken.wait(10)
    waiter.join()


def test_the_input_and_output_of_a_program(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\ncat; echo oops >&2; ls /proc/self/fd >&2; exit 3\n")
    program.chmod(0o755)
    data = b"x" * 3_000_000
    status, output, errors = spawn.run(str(program), (), data)
    assert (status, output == data) == (3, True)
    assert errors.startswith(b"oops\n")
    # One more is inherited with the lock, and none without (3 is then what ls reads).
    with open(program) as file:
        _, _, more = spawn.run(str(program), (), b"", (file.fileno(),))
    assert len(more.split()) == len(errors.split()) + 1
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    assert spawn.run(str(program), (), b"") == (-9, b"", b"")
    with pytest.raises(OSError, match="No such file"):
        spawn.run(str(tmp_path / "nothing"), (), b"")


def test_the_kernel_has_the_same_rules_twice(host: Host) -> None:
    # What this suite relies on: the two do not see each other's.
    host.share("nft * ip *")
    for kind in KINDS:
        Tool(4, kind).restore({"nat": [f":CNI-{kind} - [0:0]"]})
    with Netfilter() as nl:
        assert Here(nl).with_table("nat") == [(4, NFT), (4, LEGACY)]
        assert Here(nl).with_chain("nat", "CNI-nft") == [(4, NFT)]
        assert Here(nl).with_chain("nat", "CNI-legacy") == [(4, LEGACY)]
    for kind in KINDS:
        Tool(4, kind).restore({"nat": [f"-X CNI-{kind}"]})
    assert subprocess.run(["nft", "list", "ruleset"], check=True).returncode == 0


def test_a_list_that_leaves_out_what_is_there_is_not_believed(
    place: tuple[int, str], host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """iptables-save that is short of memory prints less, and exits with 0."""
    version, kind = place
    tool, name = Tool(version, kind), f"{'ip' if version == 4 else 'ip6'}tables-{kind}-save"
    tool.restore({"nat": [":CNI-X - [0:0]"]})
    silent = tmp_path / name
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)

    def plan(_tool: Tool, _found: object) -> dict[str, list[str]]:
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(spawn, "DIRECTORIES", (str(tmp_path), *spawn.DIRECTORIES))
        with pytest.raises(IptablesError, match="leaves out chain CNI-X of the table nat"):
            edit([tool], plan, "nat", "CNI-X")
        assert not edit([tool], plan, "nat", "CNI-Y")
    assert not edit([tool], plan, "nat", "CNI-X")
    tool.restore({"nat": ["-X CNI-X"]})


@pytest.mark.parametrize("version", [4, 6])
def test_a_list_with_fewer_rules_than_the_kernel_has_is_read_again(
    version: int, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As iptables-nft-save prints it, and exits with 0, when a dump of the rules fails."""
    host.share("nft * ip *", "nft * ip6 *")
    tool, name = Tool(version, NFT), f"{'ip' if version == 4 else 'ip6'}tables-nft-save"
    tool.restore({"nat": [":CNI-X - [0:0]", "-A CNI-X -j RETURN", "-A CNI-X -j ACCEPT"]})
    real, runs, partial = spawn.find(name), tmp_path / "runs", tmp_path / name
    partial.write_text(
        f'#!/bin/sh\necho >> {runs}\n[ "$(wc -l < {runs})" -gt "$(cat {tmp_path}/bad)" ] '
        f'&& exec {real} "$@"\n{real} "$@" | grep -v -e "-j ACCEPT"\n'
    )
    partial.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(spawn, "DIRECTORIES", (str(tmp_path), *spawn.DIRECTORIES))
        for table in ("nat", ""):
            (tmp_path / "bad").write_text("2")
            runs.write_text("")
            found = tool.save(table)
            assert found["nat"]["CNI-X"] == ["-", "-j RETURN", "-j ACCEPT"]
            assert len(runs.read_text()) == 3
            (tmp_path / "bad").write_text("9")
            runs.write_text("")
            with pytest.raises(PartialListError, match="other rules of the table nat than the"):
                tool.save(table)
            assert len(runs.read_text()) == 3
    tool.restore({"nat": ["-F CNI-X", "-X CNI-X"]})


def test_a_list_is_read_again_as_long_as_others_change_the_rules(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list and the count, which then differ though the list was whole."""
    host.share("nft * ip *")
    tool, name = Tool(4, NFT), "iptables-nft-save"
    tool.restore({"nat": [":CNI-X - [0:0]"]})
    real, runs, busy = spawn.find(name), tmp_path / "runs", tmp_path / name
    busy.write_text(
        f'#!/bin/sh\necho >> {runs}\n{real} "$@"\n'
        f'[ "$(wc -l < {runs})" -gt "$(cat {tmp_path}/busy)" ] || '
        "nft add rule ip nat CNI-X accept\n"
    )
    busy.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(spawn, "DIRECTORIES", (str(tmp_path), *spawn.DIRECTORIES))
        (tmp_path / "busy").write_text("6")
        assert len(tool.save("nat")["nat"]["CNI-X"]) == 1 + 6
        assert len(runs.read_text()) == 7
        (tmp_path / "busy").write_text("99")
        patch.setattr(iptables, "WAIT_SECONDS", 0)
        with pytest.raises(ContentionError, match="cannot list the rules of iptables: other prog"):
            tool.save("nat")
        assert len(runs.read_text()) == 7 + 2
    tool.restore({"nat": ["-F CNI-X", "-X CNI-X"]})


def test_what_only_nft_knows_is_not_expected_of_iptables_save(host: Host) -> None:
    host.share("nft * ip *")
    tool = Tool(4, NFT)
    tool.restore({"filter": ["-A FORWARD -j ACCEPT"], "nat": [":CNI-X - [0:0]"]})
    nft.run(
        "add chain ip filter own { type filter hook forward priority 7; }\n"
        "add rule ip filter own counter accept"
    )
    assert tool.save()["filter"]["FORWARD"] == ["ACCEPT", "-j ACCEPT"]
    nft.run("add rule ip filter FORWARD meta mark { 1, 2 } accept")
    assert "nat" in tool.save()
    nft.run("delete table ip filter\nadd table ip other\nadd chain ip other c")
    nft.run("add rule ip other c accept")
    assert "other" not in tool.save()
    nft.run("delete table ip other")
    tool.restore({"nat": ["-X CNI-X"]})


def test_a_change_that_was_left_out_is_made_again(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by iptables-nft-restore, which exits with 0, when what it reads first is not whole."""
    host.share("nft * ip *")
    tool, name, rule = Tool(4, NFT), "iptables-nft-restore", "-j RETURN"
    tool.restore({"nat": [":CNI-X - [0:0]"]})
    real, runs, partial = spawn.find(name), tmp_path / "runs", tmp_path / name
    partial.write_text(
        f'#!/bin/sh\necho >> {runs}\n[ "$(wc -l < {runs})" -gt "$(cat {tmp_path}/bad)" ] '
        f'&& exec {real} "$@"\ngrep -v -e "{rule}" | {real} "$@"\n'
    )
    partial.chmod(0o755)

    def plan(_tool: Tool, found: Ruleset) -> dict[str, list[str]]:
        wanted = [f"-A CNI-X {one}" for one in (rule, "-j ACCEPT")]
        there = found["nat"]["CNI-X"][1:]
        return {"nat": [] if len(there) == 2 else [":CNI-X - [0:0]", *wanted]}

    with monkeypatch.context() as patch:
        patch.setattr(spawn, "DIRECTORIES", (str(tmp_path), *spawn.DIRECTORIES))
        (tmp_path / "bad").write_text("9")
        with pytest.raises(PartialChangeError, match="other rules than were asked for, 3 times"):
            edit([tool], plan, "nat")
        assert tool.save("nat")["nat"]["CNI-X"] == ["-", "-j ACCEPT"]
        (tmp_path / "bad").write_text("5")
        assert edit([tool], plan, "nat")
        assert tool.save("nat")["nat"]["CNI-X"] == ["-", "-j RETURN", "-j ACCEPT"]
        assert len(runs.read_text()) == 6
        assert not edit([tool], plan, "nat")
    tool.restore({"nat": ["-F CNI-X", "-X CNI-X"]})


def test_a_rule_that_is_not_taken_for_what_it_is_goes_by_its_number(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was laid down by an older revision of an extension."""
    host.share("nft * ip *")
    tool, name = Tool(4, NFT), "iptables-nft-restore"
    chain = ["-", "-j RETURN", "-d 10.1.0.2/32 -j ACCEPT", "-d 10.1.0.3/32 -j ACCEPT"]
    tool.restore({"nat": [":CNI-X - [0:0]", *(f"-A CNI-X {one}" for one in chain[1:])]})
    real, strict, given = spawn.find(name), tmp_path / name, tmp_path / "given"
    strict.write_text(
        f'#!/bin/sh\ncat > {given}\nif grep -q -e "-D CNI-X -" {given}; then\n'
        "echo 'Bad rule (does a matching rule exist in that chain?).' >&2; exit 1\nfi\n"
        f'exec {real} "$@" < {given}\n'
    )
    strict.chmod(0o755)

    def plan(_tool: Tool, found: Ruleset) -> dict[str, list[str]]:
        there = found["nat"]["CNI-X"]
        return {"nat": [f"-D CNI-X {one}" for one in (chain[1], chain[3]) if one in there]}

    with monkeypatch.context() as patch:
        patch.setattr(spawn, "DIRECTORIES", (str(tmp_path), *spawn.DIRECTORIES))
        assert edit([tool], plan, "nat")
        assert given.read_text() == "*nat\n-D CNI-X 1\n-D CNI-X 2\nCOMMIT\n"
        assert tool.save("nat")["nat"]["CNI-X"] == ["-", chain[2]]
    tool.restore({"nat": ["-F CNI-X", "-X CNI-X"]})
