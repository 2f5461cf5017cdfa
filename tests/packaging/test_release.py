"""The release archive: the same bytes each time, and all that a host needs where it is unpacked."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cni import __version__
from tests.kit.host import Host
from tests.kit.namespace import Namespace

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300
pytestmark = pytest.mark.timeout(600)  # for a machine that does other things as well


def python(*arguments: str | Path, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environ}, text=True, capture_output=True, check=True, timeout=SECONDS,
    )  # fmt: skip
    return done.stdout


def pack(built: Path, directory: Path) -> Path:
    """As `make release` does it."""
    environ = {"SOURCE_DATE_EPOCH": "1700000000"}
    python(ROOT / "packaging/documents.py", directory / "share", **environ)
    python(ROOT / "packaging/release.py", built, directory / "share", directory / "out", **environ)
    (archive,) = (directory / "out").glob("*.tgz")
    return archive


@pytest.fixture(scope="module")
def archive(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(built, tmp_path_factory.mktemp("release"))


def test_it_is_named_as_the_references_and_has_a_checksum(archive: Path) -> None:
    assert archive.name.startswith("cni-plugins-linux-")
    assert archive.name.endswith(f"-v{__version__}.tgz")
    checked = subprocess.run(
        ["sha256sum", "--check", f"{archive.name}.sha256"],
        cwd=archive.parent, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert checked.stdout == f"{archive.name}: OK\n"


def test_the_same_tree_makes_the_same_bytes(built: Path, archive: Path, tmp_path: Path) -> None:
    """Of files copied at another time, by somebody else, in another order."""
    copied = tmp_path / "built"
    subprocess.run(["cp", "-r", "--preserve=links", built, copied], check=True)
    for file in copied.rglob("*"):
        os.utime(file, (1, 1))
    os.chown(copied / "bridge", 4711, 4711)
    again = pack(copied, tmp_path / "again")
    assert (
        hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(archive.read_bytes()).digest()
    )


def unpack(archive: Path, target: Path) -> Path:
    """As the reference's is unpacked, over what stands there."""
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "-C", target, "-xzf", archive], check=True)
    return target


def test_all_is_in_it_and_roots(archive: Path, built: Path, tmp_path: Path) -> None:
    there = unpack(archive, tmp_path / "bin")
    names = {one.name for one in there.iterdir()}
    assert names == {"pycni-share", *(one.name for one in built.iterdir())}
    for path in (
        "doc/pycni/LICENSE",
        "doc/pycni/NOTICE",
        "man/man8/cni-bridge.8",
        "bash-completion/completions/cnitool",
        "pycni/systemd/cnid.service",
    ):
        assert (there / "pycni-share" / path).is_file(), path
    assert {(one.stat().st_uid, one.stat().st_gid) for one in there.rglob("*")} == {(0, 0)}
    assert (there / "bridge").samefile(there / "portmap")


def test_it_unpacks_over_a_suite_in_use(archive: Path, tmp_path: Path) -> None:
    """tar makes new files: what runs is not written over, and goes on."""
    there = tmp_path / "bin"
    there.mkdir()
    (there / "bridge").write_bytes(Path("/bin/sleep").read_bytes())
    (there / "bridge").chmod(0o755)
    with subprocess.Popen([there / "bridge", "60"]) as running:
        unpack(archive, there)
        assert running.poll() is None
        running.kill()


def test_a_chain_runs_from_where_it_is_unpacked(
    archive: Path, host: Host, container: Namespace, tmp_path: Path
) -> None:
    host.share_bridge("b0")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *")
    there = unpack(archive, tmp_path / "opt/cni/bin")
    ipam = {"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": str(host.state)}
    plugins: list[dict[str, Any]] = [
        {"type": "bridge", "bridge": "b0", "isGateway": True, "ipMasq": True, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    (tmp_path / "net.d").mkdir()
    conflist = {"cniVersion": "1.1.0", "name": "net", "plugins": plugins}
    (tmp_path / "net.d/net.conflist").write_text(json.dumps(conflist))
    environ = {
        "PATH": os.environ["PATH"],
        "CNI_PATH": str(there),
        "NETCONFPATH": str(tmp_path / "net.d"),
        "CAP_ARGS": '{"portMappings": [{"hostPort": 8080, "containerPort": 80}]}',
        "CNID_SOCKET": "",
    }
    for verb in ("add", "check", "del"):
        done = subprocess.run(
            [there / "cnitool", verb, "net", str(container), "--cache-dir", tmp_path / "cache"],
            env=environ, text=True, capture_output=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        if verb == "add":
            assert json.loads(done.stdout)["ips"][0]["address"].startswith("10.1.0.")
