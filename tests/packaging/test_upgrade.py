"""One build over another, under a daemon and containers that the older one has made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.daemon import Daemon
from build import compile_launcher
from cni import __version__
from cni_bundle.plugins import PLUGINS
from tests.kit.host import Host
from tests.kit.namespace import Namespace

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120
OLD = "0123abcd"
OLDER = "0.0.9"


@pytest.fixture
def older(request: pytest.FixtureRequest, built: Path, tmp_path: Path) -> Path:
    """A build of another name: what makes two builds strangers to each other is that.

    With --whole, of another version, built from a copy of the tree.
    """
    whole = request.config.getoption("--whole")
    return _another_version(tmp_path) if whole else _another_name(built, tmp_path / "older")


def _another_name(built: Path, made: Path) -> Path:
    """With cnid and the plugins, without cnitool, which would need a build of its own."""
    (contents,) = built.glob("pycni-lib-*")
    shutil.copytree(contents, made / f"pycni-lib-{OLD}", copy_function=os.link)
    compile_launcher(made / "cnid", OLD)
    for name in PLUGINS:
        os.link(made / "cnid", made / name)
    return made


def _another_version(directory: Path) -> Path:
    tree = directory / "tree"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    about = tree / "cni/__init__.py"
    text = about.read_text()
    assert f'"{__version__}"' in text
    about.write_text(text.replace(f'"{__version__}"', f'"{OLDER}"'))
    command = [sys.executable, "packaging/build.py", "dist/bin"]
    environ = {**os.environ, "PYTHONPATH": f"{tree}:{tree}/packaging"}
    subprocess.run(command, cwd=tree, env=environ, check=True, timeout=600)
    made = tree / "dist/bin"
    said = subprocess.run([made / "cnid", "--version"], capture_output=True, text=True, check=True)
    assert OLDER in said.stdout
    return made


def install(source: Path, target: Path) -> str:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "cnitool",
        "install",
        "--from",
        source,
        target,
    ]
    done = subprocess.run(
        command, cwd=ROOT, text=True, capture_output=True, check=True, timeout=SECONDS
    )
    said: str = done.stdout
    return said


def call(bindir: Path, verb: str, config: dict[str, Any], ns: Namespace, socket: str) -> Any:
    """The result. AssertionError with what the plugin said."""
    done = subprocess.run(
        [bindir / config["type"]],
        env={
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": ns.path.name,
            "CNI_NETNS": str(ns),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(bindir),
            "CNID_SOCKET": socket,
        },
        input=json.dumps({"cniVersion": "1.1.0", "name": "net", **config}),
        text=True, capture_output=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else None


class Caller:
    """Calls without a pause, as a busy node's runtime does, until it is told to stop."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.calls = 0
        self.failures: list[str] = []
        self._act = act
        self._over = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._act()
            except AssertionError as error:
                self.failures.append(str(error))
            self.calls += 1
            self._begun.set()

    def __enter__(self) -> Caller:
        self._thread.start()
        assert self._begun.wait(SECONDS)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.timeout(900)
def test_an_upgrade_under_a_daemon_and_containers(
    built: Path, older: Path, host: Host, tmp_path: Path
) -> None:
    host.share_bridge("b0")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *")
    bindir = tmp_path / "bin"
    ipam = {"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": str(host.state)}
    bridge: dict[str, Any] = {"type": "bridge", "bridge": "b0", "isGateway": True, "ipMasq": True}
    bridge["ipam"] = ipam
    (former,) = (one.name for one in older.glob("pycni-lib-*"))
    one, two, busy = host.container(), host.container(), host.container()
    install(older, bindir)
    daemon = Daemon(bindir / "cnid", host, tmp_path)
    socket = str(daemon.socket)
    try:
        result = call(bindir, "ADD", bridge, one, socket)
        assert daemon.calls() == 1

        def status() -> None:
            call(bindir, "STATUS", {"type": "loopback"}, busy, socket)

        with Caller(status) as busy_one, Caller(status) as busy_two:
            said = install(built, bindir)
        assert busy_one.failures + busy_two.failures == []
        assert f"left {bindir}/{former}, in use by process" in said

        refused = daemon.refused()  # calls of the new build, which ran cold
        call(bindir, "CHECK", {**bridge, "prevResult": result}, one, socket)
        assert daemon.refused() == refused + 1
        call(bindir, "ADD", bridge, two, socket)
    finally:
        daemon.stop()

    call(bindir, "DEL", bridge, two, socket)  # nobody listens: cold
    directory = tmp_path / "again"
    directory.mkdir()
    daemon = Daemon(bindir / "cnid", host, directory)
    try:
        call(bindir, "DEL", bridge, one, str(daemon.socket))
        assert (daemon.calls(), daemon.refused()) == (1, 0)
        assert sorted(path.name for path in host.state.glob("net/10*")) == []
        assert "in use" not in install(built, bindir)
        assert len(list(bindir.glob("pycni-lib-*"))) == 1
    finally:
        daemon.stop()
