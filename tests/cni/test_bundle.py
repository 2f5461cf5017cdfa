from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cni.bundle import Bundle
from tests.cni.door import plugin


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle of one plugin, `test`, in the folder `bin`."""
    executable = tmp_path / "bin/pycni"
    executable.parent.mkdir()
    executable.write_bytes(b"\x7fELF and so on")
    return Bundle({"test": plugin}, str(executable))


def test_its_file_under_another_name_is_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(bundle.executable)
    hard = tmp_path / "hard"
    os.link(bundle.executable, hard)
    indirect = tmp_path / "indirect"
    indirect.symlink_to(link)
    for path in (bundle.executable, link, hard, indirect):
        assert bundle.owns("test", str(path))


def test_a_name_it_has_no_plugin_of_is_not(bundle: Bundle) -> None:
    assert not bundle.owns("other", bundle.executable)


def test_a_copy_is_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    """`cp -r` makes copies of hard links."""
    shutil.copy(bundle.executable, tmp_path / "test")
    assert bundle.owns("test", str(tmp_path / "test"))


@pytest.mark.parametrize(
    "content", [b"", b"#!/bin/sh\n", b"\x7fELF and so ON", b"\x7fELF and so on."]
)
def test_a_stranger_of_the_same_name_is_not(bundle: Bundle, tmp_path: Path, content: bytes) -> None:
    stranger = tmp_path / "test"
    stranger.write_bytes(content)
    assert not bundle.owns("test", str(stranger))


@pytest.mark.parametrize("name", ["missing", "", "."])
def test_what_is_no_file_is_not(bundle: Bundle, tmp_path: Path, name: str) -> None:
    assert not bundle.owns("test", str(tmp_path / name))


def test_a_bundle_whose_file_is_gone_owns_nothing(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copy(bundle.executable, tmp_path / "test")
    os.unlink(bundle.executable)
    assert not bundle.owns("test", str(tmp_path / "test"))
