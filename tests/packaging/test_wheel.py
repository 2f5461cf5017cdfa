"""`pip install pycni`: what the wheel brings into a fresh environment, with no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.docs.pages import read

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300
pytestmark = pytest.mark.timeout(600)  # for a machine that does other things as well
# What the project ships beside code: a page's parts, and the mark of typed packages.
DATA = (".css", ".html", ".js", ".json", "py.typed")
PACKAGES = ("cni", "cni_testing", "libcni", "cnitool")


def run(*command: str | Path, cwd: Path = ROOT, **environ: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd, text=True, capture_output=True, check=False, timeout=SECONDS, env=environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory)
    (made,) = directory.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with the wheel, and the locked packages it depends on."""
    directory = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", directory)
    made = directory / "bin/python"
    run(sys.executable, "-m", "pip", "--python", made, "install", "--no-index", "--no-deps", wheel)
    # Not the tree's own editable install: of a directory that a .pth names, no other .pth is read.
    locked = sysconfig.get_path("purelib")
    (site,) = directory.glob("lib/python3*/site-packages")
    (site / "locked.pth").write_text(f"{locked}\n")
    return made


def test_it_depends_on_no_more_than_it_imports(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (one for one in opened.namelist() if one.endswith("dist-info/METADATA"))
        metadata = Parser().parsestr(opened.read(name).decode())
    needed = metadata.get_all("Requires-Dist") or []
    names = {one.partition(">")[0] for one in needed if "extra ==" not in one}
    assert names == {"pip-nftables", "rich", "argcomplete"}
    assert metadata["License-Expression"] == "Apache-2.0"


def test_no_file_of_the_packages_is_missing(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        packed = set(opened.namelist())
    for package in PACKAGES:
        wanted = {
            str(one.relative_to(ROOT))
            for one in (ROOT / package).rglob("*")
            if one.name.endswith((".py", *DATA)) and "__pycache__" not in one.parts
        }
        assert f"{package}/py.typed" in wanted
        assert wanted <= packed


def test_a_plugin_of_ones_own_is_tested_with_it(python: Path, tmp_path: Path) -> None:
    page = read(ROOT / "docs" / "tutorial" / "plugin.md")
    for name in ("offlimits.py", "test_offlimits.py"):
        (tmp_path / name).write_text(page.block(name).text)
    options = ("-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "inner")
    run(python, "-m", "pytest", *options, cwd=tmp_path, PATH=os.environ["PATH"])
    where = run(python, "-c", "import cni_testing; print(cni_testing.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(python.parents[1])


def test_libraries_and_tool_work_there(built: Path, python: Path, tmp_path: Path) -> None:
    imported = "import cni, libcni, cnitool, cni_bridge; print(libcni.__file__, cni.__version__)"
    file, version = run(python, "-I", "-c", imported, cwd=tmp_path).split()
    assert Path(file).is_relative_to(python.parents[1])
    tool = python.parent / "cnitool"
    assert run(tool, "--version", cwd=tmp_path).startswith(f"cnitool {version} ")
    conflist = {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "loopback"}]}
    config = tmp_path / "net.conflist"
    config.write_text(json.dumps(conflist))
    run(python, "-I", tool, "validate", config, cwd=tmp_path, CNI_PATH=str(built))
