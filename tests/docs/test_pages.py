"""Every page: its links lead somewhere, its configs are right, its commands are cnitool's."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import pytest

from cni.jsontext import dumps
from cni.versions import version_answer
from cni_bundle.plugins import PLUGINS
from cnitool.main import parser
from cnitool.settings import Settings, read_settings
from cnitool.validate import validate
from libcni.runtime import DEFAULT_TIMEOUT
from tests.docs.pages import ROOT, Block, Page, pages

each_page = pytest.mark.parametrize("page", pages(), ids=str)
BLOCKS = [block for page in pages() for block in page.blocks]
JSON = [block for block in BLOCKS if block.language == "json"]
PYTHON = [block for block in BLOCKS if block.language == "python"]
# A line that a person types: after a prompt, or in a block without any.
TYPED = re.compile(r"^(?:\w*[#$] )?(?P<command>(?:\w+=(?:'[^']*'|\S+) )*cnitool\s.*)$")
ABBREVIATED = ("…", "...")


@each_page
def test_links_lead_somewhere(page: Page) -> None:
    wrong = [link for link in page.links if not leads_somewhere(page, unquote(link))]
    assert not wrong, f"{page} links to what is not there"


def leads_somewhere(page: Page, link: str) -> bool:
    if re.match(r"[a-z]+:", link):  # another site
        return True
    target, _, anchor = link.partition("#")
    path = (page.path.parent / target).resolve() if target else page.path
    if not path.exists():
        return False
    found = [one for one in pages() if one.path == path]
    return not anchor or (bool(found) and anchor in found[0].anchors)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Those of a host that has every plugin, each able to say its versions."""
    bin_dir = tmp_path_factory.mktemp("bin")
    answers = bin_dir / "answers"
    answers.write_text(f"#!/bin/sh\necho '{dumps(version_answer())}'\n")
    answers.chmod(0o755)
    for name in (*PLUGINS, "offlimits"):
        (bin_dir / name).symlink_to("answers")
    environ = {"PATH": os.environ["PATH"], "CNI_PATH": str(bin_dir)}
    return read_settings(environ, "", "", DEFAULT_TIMEOUT)


@pytest.mark.parametrize("block", JSON, ids=str)
def test_json_is_right(block: Block, settings: Settings, tmp_path: Path) -> None:
    """Networks as `cnitool validate` sees them; parts of one are JSON at least."""
    if any(one in block.text for one in ABBREVIATED):
        assert block.text.count("{") == block.text.count("}")
        return
    for text in documents(block.text):
        document = json.loads(text)
        if "cniVersion" in document and ("plugins" in document or "type" in document):
            assert isinstance(document.get("name"), str)
            path = tmp_path / "10-page.conflist"
            path.write_text(text)
            assert [str(one) for one in validate(settings, str(path))] == []


def documents(text: str) -> list[str]:
    """The JSON documents in a block: one, one a line, or the members of one without its braces."""
    for found in ([text], text.splitlines(), [f"{{{text}}}"]):
        try:
            for one in found:
                json.loads(one)
        except ValueError:
            continue
        return found
    raise AssertionError(f"neither JSON nor members of an object: {text}")


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@each_page
def test_commands_are_cnitools(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    for block in page.blocks:
        for words in typed(block):
            problem = ""
            try:
                parser().parse_args(words)
            except SystemExit as ended:
                problem = capsys.readouterr().err if ended.code else ""
            assert not problem, f"{block}: cnitool {shlex.join(words)}: {problem}"


def typed(block: Block) -> list[list[str]]:
    """The arguments of each cnitool that a person types in the block."""
    if block.language not in ("", "console"):
        return []
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if matched := TYPED.match(line):
            lexer = shlex.shlex(matched["command"], posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = list(lexer)
            words = words[words.index("cnitool") + 1 :]
            ends = [at for at, word in enumerate(words) if set(word) <= set("&|;<>")]
            found.append(words[: min(ends, default=len(words))])
    return found


def test_there_is_something_to_look_at() -> None:
    assert sum(len(typed(block)) for block in BLOCKS) > 40
    assert len(JSON) > 30
    assert ROOT / "README.md" in [page.path for page in pages()]
