"""A machine on which a page's commands run as they are written."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni_bundle.plugins import PLUGINS
from tests.docs.pages import Block
from tests.kit.host import SYSTEM_DIRECTORIES, Host
from tests.kit.namespace import MNT_DETACH, libc, mount

BIN, NETWORKS, NETNS = (Path(one) for one in ("/opt/cni/bin", "/etc/cni/net.d", "/run/netns"))
OWN = (BIN, NETWORKS, NETNS, *SYSTEM_DIRECTORIES)
_EXECUTABLE = f"""\
#!{sys.executable}
import os, sys
from cni.bundle import Bundle
from cni.skel import main
from cni_bundle.plugins import PLUGINS
sys.exit(main(os.path.basename(sys.argv[0]), Bundle(PLUGINS, sys.argv[0])))
"""


class Machine:
    """The test's host, with the suite in /opt/cni/bin; `home` is where its commands run.

    The directories of OWN are its own, and nothing in them is a leak.
    """

    def __init__(self, host: Host, home: Path) -> None:
        self.host = host
        self.home = home
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
        }
        first = BIN / "pycni"
        first.write_text(_EXECUTABLE)
        first.chmod(0o755)
        for name in PLUGINS:
            (BIN / name).symlink_to("pycni")

    def write(self, block: Block, **replaced: str) -> Path:
        """The block as a file of its title in `home`."""
        text = block.text
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        path = self.home / block.title
        path.write_text(text)
        return path

    def network(self, block: Block) -> None:
        """The block as a network of this machine."""
        (NETWORKS / block.title).write_text(block.text)

    def run(self, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, env={**self.environ, **environ}, cwd=self.home, text=True, capture_output=True,
            timeout=100, check=False,
        )  # fmt: skip

    def follow(self, block: Block) -> list[str]:
        """Run the commands of a block, each of which succeeds; what each has printed.

        Of a shell's language they may have what sets variables, for one of them or by `export`.
        """
        printed = []
        for command in commands(block):
            words = shlex.split(command, comments=True)
            exports = words[0] == "export"
            given = list(itertools.takewhile(VARIABLE.match, words[exports:]))
            environ = dict(one.split("=", 1) for one in given)
            if exports:
                self.environ.update(environ)
                continue
            done = self.run(*words[len(given) :], **environ)
            assert done.returncode == 0, f"{block}: {command}: {done.stdout}{done.stderr}"
            printed.append(done.stdout)
        return printed


VARIABLE = re.compile(r"[A-Z_]+=")


def commands(block: Block) -> list[str]:
    """The lines that a person types: those after a prompt, or all where there is none."""
    lines = block.text.replace("\\\n", " ").splitlines()
    prompted = [line[2:].strip() for line in lines if line.startswith(("# ", "$ "))]
    return prompted or [line for line in lines if line.strip()]


@pytest.fixture
def machine(host: Host, tmp_path: Path) -> Iterator[Machine]:
    for directory in OWN:
        directory.mkdir(parents=True, exist_ok=True)  # to mount on; kept, as in tests/conftest.py
        mount("none", directory, "tmpfs")
    try:
        (tmp_path / "home").mkdir()
        yield Machine(host, tmp_path / "home")
    finally:
        for directory in OWN:
            libc("umount2", bytes(directory), MNT_DETACH)
