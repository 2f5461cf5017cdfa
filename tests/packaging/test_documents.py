"""Man pages and completion, as they are installed: the readers' own checks, and real shells."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cni_bundle.plugins import PLUGINS
from cnitool.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120
PAGES = ["man1/cnitool.1", "man8/cnid.8", *(f"man8/cni-{name}.8" for name in PLUGINS)]


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("documents") / "share"
    run(sys.executable, ROOT / "packaging/documents.py", made)
    return made


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, text=True, capture_output=True, check=False, timeout=SECONDS,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(env or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# ---- man pages


def test_there_is_a_page_for_everything(share: Path) -> None:
    assert sorted(str(one.relative_to(share / "man")) for one in share.glob("man/*/*")) == sorted(
        PAGES
    )


def test_mandoc_finds_nothing_to_warn_of(share: Path) -> None:
    assert run("mandoc", "-Tlint", "-W", "warning", *share.glob("man/*/*")) == ""


@pytest.mark.parametrize("page", PAGES[:3])
def test_groff_shows_them_without_a_warning(share: Path, page: str) -> None:
    said = run("groff", "-z", "-man", "-t", "-ww", "-Tutf8", "-K", "utf8", share / "man" / page)
    assert said == ""


@pytest.mark.parametrize("page", PAGES)
def test_apropos_finds_them_by_their_name(share: Path, page: str) -> None:
    """lexgrog(1) reads what man-db's index is made from."""
    name = page.partition("/")[2].rpartition(".")[0]
    assert f'"{name} - ' in run("lexgrog", share / "man" / page)


def test_the_page_of_cnitool_has_each_command_and_option(share: Path) -> None:
    text = run("mandoc", "-Tutf8", share / "man/man1/cnitool.1")
    text = re.sub(r".\x08", "", text)  # bold, as a typewriter has it
    for one in COMMANDS:
        assert re.search(rf"^   {one.name}$", text, re.MULTILINE), one.name
    for option in ("--keep", "--dry-run", "--json", "--timeout", "--cache-dir"):
        assert option in text


def test_keys_are_told_by_their_page(share: Path) -> None:
    text = run("mandoc", "-Tutf8", share / "man/man8/cni-tap.8")
    text = re.sub(r".\x08", "", text)
    assert "     multiQueue\n" in text
    assert "CAP_NET_ADMIN" in text
    assert "](" not in text


# ---- completion


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """A host with a network and a container, and cnitool on PATH."""
    tool = tmp_path / "bin/cnitool"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m cnitool "$@"\n')
    tool.chmod(0o755)
    (tmp_path / "net.d").mkdir()
    conflist = {"cniVersion": "1.0.0", "name": "blue", "plugins": [{"type": "bridge"}]}
    (tmp_path / "net.d/10-blue.conflist").write_text(json.dumps(conflist))
    (tmp_path / "net.d/20-broken.conf").write_text("{")
    return {
        "PATH": f"{tool.parent}:{os.environ['PATH']}",
        "NETCONFPATH": str(tmp_path / "net.d"),
        "HOME": str(tmp_path),
    }


def in_bash(share: Path, shell: dict[str, str], line: str) -> list[str]:
    script = f"""
        source {share}/bash-completion/completions/cnitool
        COMP_LINE={line!r} COMP_POINT={len(line)} COMP_TYPE=9
        COMP_WORDS=($COMP_LINE) COMP_CWORD=1
        function=$(complete -p cnitool); function=${{function##* -F }}; ${{function%% *}} cnitool
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    said = run("bash", "--norc", "-c", script, env=shell)
    return [one.strip() for one in said.splitlines()]


def in_fish(share: Path, shell: dict[str, str], line: str) -> list[str]:
    script = f"source {share}/fish/vendor_completions.d/cnitool.fish; complete -C '{line}'"
    said = run("fish", "--no-config", "-c", script, env=shell)
    return [one.partition("\t")[0] for one in said.splitlines()]


@pytest.mark.parametrize("complete", [in_bash, in_fish])
def test_words_and_names_are_completed(
    share: Path,
    shell: dict[str, str],
    complete: Callable[[Path, dict[str, str], str], list[str]],
) -> None:
    assert complete(share, shell, "cnitool insp") == ["inspect"]
    assert complete(share, shell, "cnitool validate b") == ["blue"]
    assert "--dry-run" in complete(share, shell, "cnitool gc --d")


def test_containers_are_completed_from_the_cache(
    share: Path, shell: dict[str, str], tmp_path: Path
) -> None:
    """In a mount namespace where /var/lib/cni is the test's."""
    results = tmp_path / "cache/results"
    results.mkdir(parents=True)
    entry = {
        "kind": "cniCacheV1",
        "containerId": "0123abcd",
        "ifName": "eth0",
        "networkName": "blue",
        "netns": "/run/netns/one",
        "config": "e30=",
    }
    (results / "blue-0123abcd-eth0").write_text(json.dumps(entry))
    script = (
        "import sys; from pathlib import Path; from tests.kit.namespace import "
        "CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, libc, mount; import os; "
        "libc('unshare', CLONE_NEWNS); mount('none', Path('/'), 'none', MS_REC | MS_PRIVATE); "
        "mount(sys.argv[1], Path('/var/lib/cni'), 'none', MS_BIND); "
        "os.execvp('bash', ['bash', '--norc', '-c', sys.argv[2]])"
    )
    line = "cnitool inspect 01"
    completion = (
        f"source {share}/bash-completion/completions/cnitool; COMP_LINE='{line}'; "
        f"COMP_POINT={len(line)}; COMP_TYPE=9; _python_argcomplete cnitool; echo ${{COMPREPLY[@]}}"
    )
    said = run(
        sys.executable, "-c", script, tmp_path / "cache", completion,
        env={**shell, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert said.strip() == "0123abcd"


@pytest.mark.parametrize(
    "command",
    [
        ("bash", "-n", "bash-completion/completions/cnitool"),
        ("zsh", "-n", "zsh/site-functions/_cnitool"),
        ("fish", "--no-execute", "fish/vendor_completions.d/cnitool.fish"),
    ],
)
def test_each_shell_can_read_its_own(share: Path, command: tuple[str, str, str]) -> None:
    program, option, path = command
    assert run(program, option, share / path) == ""
