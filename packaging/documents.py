"""Man pages and completion: `documents.py DIRECTORY` leaves there what belongs into /usr/share.

    man/man1/cnitool.1, man/man8/cnid.8, man/man8/cni-PLUGIN.8
    bash-completion/completions/, zsh/site-functions/, fish/vendor_completions.d/
    doc/pycni/    licence, notice, what is new
    pycni/        systemd's units, with @BINDIR@ for the executables' directory

The pages are the READMEs, which lowdown turns into man(7), and the grammar of cnitool, which
argparse knows. So there is one text to keep, and no option without its line in the page.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import epoch
from argcomplete.shell_integration import shellcode

from cni import __version__
from cni_bundle.plugins import PLUGINS
from cnitool.main import parser

ROOT = Path(__file__).resolve().parent.parent
_COMPLETIONS = {
    "bash": "bash-completion/completions/cnitool",
    "zsh": "zsh/site-functions/_cnitool",
    "fish": "fish/vendor_completions.d/cnitool.fish",
}
_ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (.*?) \|", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]*\)")
"""A link to another file of the tree, which a man page has not got."""

_BAR = re.compile(r"(?<!\\)\|")
_SPOKEN = ("meaning", "does", "what it does", "why")
"""Columns with sentences; what else a row says stands behind them in brackets."""
_GAP = re.compile(r"^(\.S[HS]\n.*\n)\.LP\n", re.MULTILINE)


def write(target: Path) -> None:
    """Replace `target` by fresh documents. Raises SystemExit with lowdown's words."""
    shutil.rmtree(target, ignore_errors=True)
    about = dict(_ROW.findall((ROOT / "README.md").read_text()))
    for shell, path in _COMPLETIONS.items():
        _put(target / path, shellcode(["cnitool"], shell=shell))
    pages = {"cnitool.1": cnitool_page(about["cnitool"])}
    pages["cnid.8"] = page("cnid", about["cnid"], _readme("cnid"))
    for name in PLUGINS:
        pages[f"cni-{name}.8"] = page(f"cni-{name}", about[name], _readme(f"plugins/{name}"))
    for name, markdown in pages.items():
        title, _, section = name.rpartition(".")
        _put(target / f"man/man{section}" / name, _manual(title, section, markdown))
    for name in ("LICENSE", "NOTICE", "CHANGELOG.md"):
        _put(target / "doc/pycni" / name, (ROOT / name).read_text())
    for unit in sorted((ROOT / "packaging/systemd").iterdir()):
        _put(target / "pycni/systemd" / unit.name, unit.read_text())
    schemas = ROOT / "schemas"
    if schemas.is_dir():
        shutil.copytree(schemas, target / "pycni/schemas")


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _readme(directory: str) -> str:
    return (ROOT / directory / "README.md").read_text()


def page(name: str, about: str, readme: str, synopsis: str = "") -> str:
    """A README as the Markdown of a man page: its sections one level up, after NAME."""
    _, _, body = readme.partition("\n")  # its title
    heads = [f"# NAME\n\n{name} - {_plain(about)}\n", synopsis, "# DESCRIPTION\n"]
    return "\n".join([*filter(None, heads), *_sections(body)]) + "\n"


def _sections(markdown: str) -> Iterator[str]:
    fenced = False
    head: list[str] = []
    for line in markdown.splitlines():
        if line.startswith("|") and not fenced:
            head = head or _cells(line)
            yield from _row(head, _cells(line))
            continue
        head = []
        fenced ^= line.startswith("```")
        if fenced or line.startswith("```"):
            yield line
        elif line.startswith("##"):
            yield line[1:]
        elif not line.startswith("!["):  # a picture
            yield _LINK.sub(r"\1", line)


def _row(head: list[str], cells: list[str]) -> Iterator[str]:
    """A table's row as a term and what is said of it: a terminal has no room for five columns."""
    if cells == head or all(set(one) <= {"-", ":"} for one in cells):
        return
    rest = [(name, cell) for name, cell in zip(head[1:], cells[1:], strict=False) if cell]
    long = [(name, cell) for name, cell in rest if name in _SPOKEN or len(rest) == 1] or rest[:1]
    short = "; ".join(f"{name} {cell}".strip() for name, cell in rest if (name, cell) not in long)
    text = "; ".join(cell for _, cell in long)
    yield f"**{cells[0].replace('`', '')}**\n\n:   {text}{f' ({short})' if short else ''}\n"


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [_LINK.sub(r"\1", one.strip().replace("\\|", "|")) for one in _BAR.split(inner)]


def _plain(text: str) -> str:
    return _LINK.sub(r"\1", text).replace("`", "")


def cnitool_page(about: str) -> str:
    """cnitool's README, and after it what argparse knows of each command."""
    grammar = parser()
    synopsis = f"# SYNOPSIS\n\n```\n{_usage(grammar)}\n```\n"
    readme = page("cnitool", about.rpartition(": ")[2], _readme("cnitool"), synopsis)
    return f"{readme}\n# ALL ARGUMENTS\n\n" + "\n".join(_commands(grammar))


def _commands(grammar: argparse.ArgumentParser) -> Iterator[str]:
    for name, (command, line) in sorted(_below(grammar).items()):
        yield f"## {name}\n\n{line[:1].upper()}{line[1:]}.\n\n```\n{_usage(command)}\n```\n"
        for action in command._actions:
            if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
                continue
            yield f"{_term(action)}\n\n:   {_help(command, action)}\n"
        for act, (below, about) in _below(command).items():
            yield f"**{name} {act}**\n\n:   {about}\n\n```\n{_usage(below)}\n```\n"


def _below(
    grammar: argparse.ArgumentParser,
) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    found: dict[str, tuple[argparse.ArgumentParser, str]] = {}
    for action in grammar._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                found[name] = command, command.description or ""
    return found


def _usage(grammar: argparse.ArgumentParser) -> str:
    return grammar.format_usage().removeprefix("usage: ").rstrip()


def _term(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else action.dest
    if not action.option_strings:
        return f"*{value}*"
    names = ", ".join(f"**{one}**" for one in action.option_strings)
    return names if action.nargs == 0 else f"{names} *{value}*"


def _help(command: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = (action.help or "") % {**vars(action), "prog": command.prog}
    return text.replace("*", "\\*")


def _manual(title: str, section: str, markdown: str) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(epoch.seconds()))
    command = [
        "lowdown", "-s", "-Tman", "--parse-no-metadata", "--parse-no-intraemph", "--out-no-smarty",
        "-M", f"title={title}", "-M", f"section={section}", "-M", f"date={day}", "-M",
        f"source=pycni {__version__}", "-",
    ]  # fmt: skip
    done = subprocess.run(command, input=markdown, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stderr}documents: lowdown makes no {title}({section})")
    # Not every reader knows the font C, and none wants a paragraph begun twice after a heading.
    return _GAP.sub(r"\1", done.stdout.replace(r"\fC", r"\fB"))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
